"""/api/v1/user."""

from __future__ import annotations

from aiohttp import web

from coordinator.services.users import UserService
from coordinator.tailnet.actors import Actor
from coordinator.web.api.body import Body, path_id
from coordinator.web.api.views import user_view


class UserRoutes:
    """Handlers on users."""

    def __init__(self, users: UserService, actor: Actor) -> None:
        self._users = users
        self._actor = actor

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/api/v1/user", self._list),
            web.post("/api/v1/user", self._create),
            web.post("/api/v1/user/{user_id}/rename/{new_name:.*}", self._rename),
            web.delete("/api/v1/user/{user_id}", self._delete),
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
            actor=self._actor,
        )
        return web.json_response({"user": user_view(user)})

    async def _rename(self, request: web.Request) -> web.Response:
        new_name = request.match_info["new_name"]
        user = await self._users.rename(path_id(request, "user_id"), new_name, actor=self._actor)
        return web.json_response({"user": user_view(user)})

    async def _delete(self, request: web.Request) -> web.Response:
        await self._users.delete(path_id(request, "user_id"), actor=self._actor)
        return web.json_response({})
