"""/api/v1/node and the approval of pending logins."""

from __future__ import annotations

from aiohttp import web

from coordinator.services.nodes import NodeService
from coordinator.services.registration import RegistrationService
from coordinator.services.users import UserService
from coordinator.settings.durations import parse_duration
from coordinator.tailnet.errors import InvalidError
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body, find_user, path_id
from coordinator.web.api.views import node_view


class NodeRoutes:
    """Handlers on nodes."""

    def __init__(self, nodes: NodeService, users: UserService, registration: RegistrationService) -> None:
        self._nodes = nodes
        self._users = users
        self._registration = registration

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/api/v1/node", self._list),
            web.post("/api/v1/node/register", self._register),
            web.post("/api/v1/auth/register", self._register),
            web.get("/api/v1/node/{node_id}", self._get),
            web.delete("/api/v1/node/{node_id}", self._delete),
            web.post("/api/v1/node/{node_id}/expire", self._expire),
            web.post("/api/v1/node/{node_id}/rename/{new_name:.*}", self._rename),
            web.post("/api/v1/node/{node_id}/tags", self._tags),
            web.post("/api/v1/node/{node_id}/approve_routes", self._approve_routes),
            web.post("/api/v1/node/{node_id}/extend", self._extend),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        wanted = request.query.get("user")
        user = find_user(self._users, wanted).name if wanted else None
        return web.json_response({"nodes": [node_view(view) for view in self._nodes.list(user)]})

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response({"node": node_view(self._nodes.get(path_id(request, "node_id")))})

    async def _delete(self, request: web.Request) -> web.Response:
        await self._nodes.delete(path_id(request, "node_id"), actor=acting())
        return web.json_response({})

    async def _expire(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        view = await self._nodes.expire(
            path_id(request, "node_id"),
            at=body.moment("expiry"),
            disable=body.flag("disableExpiry"),
            actor=acting(),
        )
        return web.json_response({"node": node_view(view)})

    async def _rename(self, request: web.Request) -> web.Response:
        view = await self._nodes.rename(
            path_id(request, "node_id"), request.match_info["new_name"], actor=acting()
        )
        return web.json_response({"node": node_view(view)})

    async def _tags(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        view = await self._nodes.set_tags(path_id(request, "node_id"), body.texts("tags"), actor=acting())
        return web.json_response({"node": node_view(view)})

    async def _approve_routes(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        view = await self._nodes.approve_routes(
            path_id(request, "node_id"), body.texts("routes"), actor=acting()
        )
        return web.json_response({"node": node_view(view)})

    async def _extend(self, request: web.Request) -> web.Response:
        text = (await Body.read(request)).text("for")
        try:
            by = parse_duration(text)
        except ValueError as error:
            raise InvalidError(f"`for`: {error}") from error
        view = await self._nodes.extend(path_id(request, "node_id"), by, actor=acting())
        return web.json_response({"node": node_view(view)})

    async def _register(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        user = find_user(self._users, body.text("user") or request.query.get("user", ""))
        login_id = body.text("authId") or body.text("key") or request.query.get("key", "")
        node = await self._registration.approve(login_id, user.id, actor=acting())
        return web.json_response({"node": node_view(self._nodes.view(node))})
