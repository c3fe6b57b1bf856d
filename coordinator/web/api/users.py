"""/api/v1/user."""

from __future__ import annotations

from aiohttp import web

from coordinator.services.users import UserService
from coordinator.tailnet.errors import InvalidError
from coordinator.tailnet.rights import ROLE_RIGHTS
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body, path_id, query_flag
from coordinator.web.api.views import user_view


class UserRoutes:
    """Handlers on users."""

    def __init__(self, users: UserService) -> None:
        self._users = users

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/api/v1/user", self._list),
            web.post("/api/v1/user", self._create),
            web.post("/api/v1/user/{user_id}/rename/{new_name:.*}", self._rename),
            web.patch("/api/v1/user/{user_id}", self._set_role),
            web.post("/api/v1/user/{user_id}/role", self._set_role),
            web.post("/api/v1/user/{user_id}/suspend", self._suspend),
            web.post("/api/v1/user/{user_id}/restore", self._restore),
            web.delete("/api/v1/user/{user_id}", self._delete),
            web.get("/api/v1/role", self._roles),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        users = self._users.list()
        for parameter, attribute in (("id", "id"), ("name", "name"), ("email", "email")):
            wanted = request.query.get(parameter)
            if wanted:
                users = [user for user in users if str(getattr(user, attribute)) == wanted]
                break
        return web.json_response({"users": [user_view(user) for user in users]})

    async def _create(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        user = await self._users.create(
            body.text("name"),
            body.text("displayName"),
            body.text("email"),
            body.text("pictureUrl"),
            actor=acting(),
        )
        return web.json_response({"user": user_view(user)})

    async def _rename(self, request: web.Request) -> web.Response:
        new_name = request.match_info["new_name"]
        user = await self._users.rename(path_id(request, "user_id"), new_name, actor=acting())
        return web.json_response({"user": user_view(user)})

    async def _set_role(self, request: web.Request) -> web.Response:
        role = (await Body.read(request)).text("role")
        if not role:
            raise InvalidError("the role is missing: `role` is what the user shall be")
        user = await self._users.set_role(path_id(request, "user_id"), role, actor=acting())
        return web.json_response({"user": user_view(user)})

    async def _suspend(self, request: web.Request) -> web.Response:
        user = await self._users.suspend(path_id(request, "user_id"), actor=acting())
        return web.json_response({"user": user_view(user)})

    async def _restore(self, request: web.Request) -> web.Response:
        user = await self._users.restore(path_id(request, "user_id"), actor=acting())
        return web.json_response({"user": user_view(user)})

    async def _roles(self, request: web.Request) -> web.Response:
        roles = [{"role": role, "rights": sorted(rights)} for role, rights in ROLE_RIGHTS.items()]
        return web.json_response({"roles": roles})

    async def _delete(self, request: web.Request) -> web.Response:
        with_nodes = query_flag(request, "withNodes")
        await self._users.delete(path_id(request, "user_id"), with_nodes=with_nodes, actor=acting())
        return web.json_response({})
