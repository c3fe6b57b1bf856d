"""/api/v1/node/{id}/attributes: posture attributes."""

from __future__ import annotations

from aiohttp import web

from coordinator.services.attributes import AttributeService
from coordinator.services.nodes import NodeService
from coordinator.tailnet.facts import node_attributes
from coordinator.tailnet.nodes import NodeID
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body, path_id


class AttributeRoutes:
    """Handlers on attributes; answers hold all of a node's, those of its client included."""

    def __init__(self, attributes: AttributeService, nodes: NodeService) -> None:
        self._attributes = attributes
        self._nodes = nodes

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/api/v1/node/{node_id}/attributes", self._get),
            web.post("/api/v1/node/{node_id}/attributes", self._set),
        ]

    async def _get(self, request: web.Request) -> web.Response:
        node = self._nodes.get(path_id(request, "node_id")).node
        return web.json_response({"attributes": node_attributes(node)})

    async def _set(self, request: web.Request) -> web.Response:
        changes = (await Body.read(request)).scalars("attributes")
        node_id = NodeID(path_id(request, "node_id"))
        await self._attributes.set(node_id, changes, actor=acting())
        return await self._get(request)
