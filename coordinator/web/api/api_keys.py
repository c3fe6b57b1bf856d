"""/api/v1/apikey."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from coordinator.services.api_keys import ApiKeyService
from coordinator.services.users import UserService
from coordinator.tailcfg.codec import go_time
from coordinator.tailnet.api_keys import ApiKey
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body, find_user, parse_id


class ApiKeyRoutes:
    """Handlers on API keys."""

    def __init__(self, keys: ApiKeyService, users: UserService) -> None:
        self._keys = keys
        self._users = users

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/api/v1/apikey", self._list),
            web.post("/api/v1/apikey", self._create),
            web.post("/api/v1/apikey/expire", self._expire),
            web.delete("/api/v1/apikey/{prefix}", self._delete),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"apiKeys": [api_key_view(key) for key in self._keys.list()]})

    async def _create(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        user = find_user(self._users, body.text("user")) if body.has("user") else None
        _, text = await self._keys.create(
            user_id=user.id if user else None, expiration=body.moment("expiration"), actor=acting()
        )
        return web.json_response({"apiKey": text})

    async def _expire(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        await self._keys.expire(prefix=body.text("prefix"), key_id=body.number("id"), actor=acting())
        return web.json_response({})

    async def _delete(self, request: web.Request) -> web.Response:
        """An id in the query wins: clients always fill the path."""
        by_id = request.query.get("id", "")
        if by_id and by_id != "0":
            await self._keys.delete(key_id=parse_id("id", by_id), actor=acting())
        else:
            await self._keys.delete(prefix=request.match_info["prefix"], actor=acting())
        return web.json_response({})


def api_key_view(key: ApiKey) -> dict[str, Any]:
    """A key, without its secret."""
    return {
        "id": str(key.id),
        "prefix": key.masked,
        "expiration": None if key.expiration is None else go_time(key.expiration),
        "createdAt": go_time(key.created_at),
        "lastSeen": None if key.last_seen is None else go_time(key.last_seen),
        "user": None if key.user_id is None else str(key.user_id),
    }
