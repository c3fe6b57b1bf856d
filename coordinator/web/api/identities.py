"""/api/v1/user/{id}/identity: which identities at providers are a user."""

from __future__ import annotations

from aiohttp import web

from coordinator.services.identities import IdentityService
from coordinator.tailcfg.codec import go_time
from coordinator.tailnet.errors import InvalidError
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body, path_id
from coordinator.web.api.views import user_view

PATH = "/api/v1/user/{user_id}/identity"


class IdentityRoutes:
    """Handlers on identities."""

    def __init__(self, identities: IdentityService) -> None:
        self._identities = identities

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get(PATH, self._list),
            web.post(PATH, self._link),
            web.delete(PATH, self._unlink),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        found = await self._identities.of_user(path_id(request, "user_id"))
        views = [
            {
                "identity": each.id,
                "provider": each.provider,
                "groups": list(each.groups),
                "linkedAt": go_time(each.linked_at),
                "refreshedAt": go_time(each.refreshed_at) if each.refreshed_at else None,
                "offlineAccess": bool(each.refresh_token),
            }
            for each in found
        ]
        return web.json_response({"identities": views})

    async def _link(self, request: web.Request) -> web.Response:
        identity = (await Body.read(request)).text("identity")
        if not identity:
            raise InvalidError("the identity is missing: `identity` is ISSUER/SUBJECT")
        user = await self._identities.link(path_id(request, "user_id"), identity, actor=acting())
        return web.json_response({"user": user_view(user)})

    async def _unlink(self, request: web.Request) -> web.Response:
        identity = request.query.get("identity", "")
        user = await self._identities.unlink(path_id(request, "user_id"), identity, actor=acting())
        return web.json_response({"user": user_view(user)})
