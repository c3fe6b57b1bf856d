"""/api/v1/wireguard/tokens: secrets that let one device each become a peer."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from coordinator.services.users import UserService
from coordinator.services.wireguard_tokens import TokenWanted, WireGuardTokens
from coordinator.tailnet.clock import Clock
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body, find_user, path_id
from coordinator.web.api.wireguard_views import token_view
from coordinator.wireguard.model import EnrolmentToken

BASE = "/api/v1/wireguard/tokens"


class WireGuardTokenRoutes:
    """Handlers on enrolment tokens."""

    def __init__(self, tokens: WireGuardTokens, users: UserService, clock: Clock) -> None:
        self._tokens = tokens
        self._users = users
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get(BASE, self._list),
            web.post(BASE, self._create),
            web.delete(f"{BASE}/{{token_id}}", self._revoke),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"tokens": [self._view(each) for each in self._tokens.all()]})

    async def _create(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        wanted = TokenWanted(
            user_id=find_user(self._users, body.text("user")).id if body.has("user") else None,
            service=body.text("service"),
            profile=body.text("profile"),
            gateway=body.text("gateway"),
            standing=body.flag("permanent"),
            until=body.moment("until"),
            reason=body.text("reason"),
            expires_at=body.moment("expiration"),
        )
        token, text = await self._tokens.create(wanted, actor=acting())
        return web.json_response({"token": self._view(token), "secret": text})

    async def _revoke(self, request: web.Request) -> web.Response:
        token = await self._tokens.revoke(path_id(request, "token_id"), actor=acting())
        return web.json_response({"token": self._view(token)})

    def _view(self, token: EnrolmentToken) -> dict[str, Any]:
        state = "usable" if token.usable(self._clock()) else "expired"
        if token.used_at is not None:
            state = "used"
        elif token.revoked_at is not None:
            state = "revoked"
        user = self._users.login(token.user_id) if token.user_id is not None else ""
        return token_view(token, state, user)
