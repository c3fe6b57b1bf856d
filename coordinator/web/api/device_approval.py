"""/api/v1/node/{id}/approve and …/reject."""

from __future__ import annotations

from aiohttp import web

from coordinator.services.device_approval import DeviceApproval
from coordinator.services.nodes import NodeService
from coordinator.web.api.acting import acting
from coordinator.web.api.body import path_id
from coordinator.web.api.views import node_view


class DeviceApprovalRoutes:
    """Handlers of the two decisions."""

    def __init__(self, approval: DeviceApproval, nodes: NodeService) -> None:
        self._approval = approval
        self._nodes = nodes

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.post("/api/v1/node/{node_id}/approve", self._approve),
            web.post("/api/v1/node/{node_id}/reject", self._reject),
        ]

    async def _approve(self, request: web.Request) -> web.Response:
        node_id = path_id(request, "node_id")
        await self._approval.approve(node_id, actor=acting())
        return web.json_response({"node": node_view(self._nodes.get(node_id))})

    async def _reject(self, request: web.Request) -> web.Response:
        node_id = path_id(request, "node_id")
        await self._approval.reject(node_id, actor=acting())
        return web.json_response({"node": node_view(self._nodes.get(node_id))})
