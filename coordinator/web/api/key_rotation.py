"""/api/v1/node/rotate, a path of our own."""

from __future__ import annotations

from aiohttp import web

from coordinator.services.key_rotation import KeyRotation, Wanted
from coordinator.services.nodes import NodeService
from coordinator.services.users import UserService
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body, find_user
from coordinator.web.api.views import node_view


class KeyRotationRoutes:
    """The handler that asks clients for new keys."""

    def __init__(self, rotation: KeyRotation, nodes: NodeService, users: UserService) -> None:
        self._rotation = rotation
        self._nodes = nodes
        self._users = users

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [web.post("/api/v1/node/rotate", self._rotate)]

    async def _rotate(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        user = find_user(self._users, body.text("user")) if body.has("user") else None
        wanted = Wanted(
            ids=body.ids("ids"),
            older_than=body.duration("olderThan"),
            user_id=user.id if user else None,
        )
        asked = await self._rotation.ask(wanted, within=body.duration("within"), actor=acting())
        return web.json_response({"nodes": [node_view(self._nodes.view(node)) for node in asked]})
