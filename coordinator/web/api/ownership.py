"""/api/v1/node/{id}/user, /untag and /addresses: whose a node is, and where it is found."""

from __future__ import annotations

from aiohttp import web

from coordinator.services.nodes import NodeService
from coordinator.services.ownership import OwnershipService
from coordinator.services.users import UserService
from coordinator.tailnet.nodes import Node
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body, find_user, path_id
from coordinator.web.api.views import node_view


class OwnershipRoutes:
    """Handlers on owners and addresses of nodes; users are an id, a name or an e-mail."""

    def __init__(self, ownership: OwnershipService, nodes: NodeService, users: UserService) -> None:
        self._ownership = ownership
        self._nodes = nodes
        self._users = users

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.post("/api/v1/node/{node_id}/user", self._move),
            web.post("/api/v1/node/{node_id}/untag", self._untag),
            web.post("/api/v1/node/{node_id}/addresses", self._set_addresses),
        ]

    async def _move(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        return self._answer(await self._ownership.move(path_id(request, "node_id"), owner, actor=acting()))

    async def _untag(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        return self._answer(await self._ownership.untag(path_id(request, "node_id"), owner, actor=acting()))

    async def _set_addresses(self, request: web.Request) -> web.Response:
        addresses = (await Body.read(request)).texts("addresses")
        node = await self._ownership.set_addresses(path_id(request, "node_id"), addresses, actor=acting())
        return self._answer(node)

    async def _owner(self, request: web.Request) -> int:
        # Older tools say it in the query.
        wanted = (await Body.read(request)).text("user") or request.query.get("user", "")
        return find_user(self._users, wanted).id

    def _answer(self, node: Node) -> web.Response:
        return web.json_response({"node": node_view(self._nodes.get(node.id))})
