"""/api/v1/preauthkey."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aiohttp import web

from coordinator.services.preauth_keys import PreAuthKeyService
from coordinator.services.users import UserService
from coordinator.tailnet.errors import NotFoundError
from coordinator.tailnet.preauth_keys import KEY_PREFIX, PREFIX_CHARS, PreAuthKey
from coordinator.tailnet.users import User, UserID
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body, find_user, parse_id
from coordinator.web.api.views import preauth_key_view

DEFAULT_LIFETIME = timedelta(hours=1)
"""A key without an expiration would be dead on arrival elsewhere; here it lives as long as the command line's
default."""


class PreAuthKeyRoutes:
    """Handlers on pre-auth keys."""

    def __init__(self, keys: PreAuthKeyService, users: UserService) -> None:
        self._keys = keys
        self._users = users

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/api/v1/preauthkey", self._list),
            web.post("/api/v1/preauthkey", self._create),
            web.post("/api/v1/preauthkey/expire", self._expire),
            web.delete("/api/v1/preauthkey", self._delete),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        wanted = request.query.get("user")
        user = find_user(self._users, wanted).id if wanted else None
        views = [preauth_key_view(key, self._owner(key.user_id)) for key in self._keys.list(user)]
        return web.json_response({"preAuthKeys": views})

    async def _create(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        named = body.text("user")
        user = find_user(self._users, named) if named and named != "0" else None
        expiration = body.moment("expiration") or datetime.now(UTC) + DEFAULT_LIFETIME
        key, secret = await self._keys.create(
            user_id=user.id if user else None,
            tags=body.texts("aclTags"),
            reusable=body.flag("reusable"),
            ephemeral=body.flag("ephemeral"),
            preapproved=body.flag("preApproved"),
            max_uses=body.number("maxUses"),
            description=body.text("description"),
            expiration=expiration,
            actor=acting(),
        )
        return web.json_response({"preAuthKey": preauth_key_view(key, user, secret)})

    async def _expire(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        await self._keys.expire(self._find(body.text("id"), body.text("key")), actor=acting())
        return web.json_response({})

    async def _delete(self, request: web.Request) -> web.Response:
        key_id = self._find(request.query.get("id", ""), request.query.get("key", ""))
        await self._keys.delete(key_id, actor=acting())
        return web.json_response({})

    def _find(self, key_id: str, text: str) -> int:
        """By id, by the whole text, by its prefix or by the masked form."""
        if key_id:
            return parse_id("id", key_id)
        prefix = text.removeprefix(KEY_PREFIX)[:PREFIX_CHARS]
        found: list[PreAuthKey] = [key for key in self._keys.list() if prefix and key.prefix == prefix]
        if not found:
            raise NotFoundError("no such pre-auth key: give its id, or its text")
        return found[0].id

    def _owner(self, user_id: UserID | None) -> User | None:
        if user_id is None:
            return None
        try:
            return self._users.find(user_id)
        except NotFoundError:
            return None
