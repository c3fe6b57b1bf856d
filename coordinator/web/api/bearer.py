"""The API for callers that prove themselves with an API key, on the public listener.

Every path wants a key. A key without a user may do everything; a user's key what the user's role may.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from coordinator.services.api_keys import ApiKeyService
from coordinator.services.rate_limits import RateLimits
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ForbiddenError
from coordinator.tailnet.rights import Right, may
from coordinator.web.api.acting import acting_as
from coordinator.web.middleware import log_request
from coordinator.web.origin import take_origin

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NOUNS: Mapping[str, tuple[Right, Right]] = {
    "node": ("nodes:read", "nodes:write"),
    "auth": ("nodes:read", "nodes:write"),
    "user": ("users:read", "users:write"),
    "role": ("users:read", "users:write"),
    "policy": ("policy:read", "policy:write"),
    "preauthkey": ("keys:read", "keys:write"),
    "apikey": ("keys:read", "keys:write"),
    "access": ("access:read", "access:write"),
    "audit": ("audit:read", "audit:read"),
    "wireguard": ("wireguard:read", "wireguard:write"),
}
"""By the first part of a path below `/api/v1/`: the right to look, and the right to change."""
_ASKING = ("policy/check",)
"""POSTs that change nothing."""


def needed_right(method: str, path: str) -> Right | None:
    """The right a request needs; None: a valid key is enough."""
    rest = path.removeprefix("/api/v1/").strip("/")
    rights = _NOUNS.get(rest.partition("/")[0])
    if rights is None:
        return None
    return rights[method not in ("GET", "HEAD") and rest not in _ASKING]


class BearerGuard:
    """Lets requests through to the API's handlers."""

    def __init__(self, keys: ApiKeyService, limits: RateLimits) -> None:
        self._keys = keys
        self._limits = limits

    def guard(self, route: web.RouteDef) -> web.RouteDef:
        """The same route, for callers with a key."""
        handler: Handler = route.handler

        async def checked(request: web.Request) -> web.StreamResponse:
            return await self._check(request, handler)

        async def logged(request: web.Request) -> web.StreamResponse:
            return await log_request(request, checked)

        return web.RouteDef(route.method, route.path, logged, route.kwargs)

    async def _check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        remote = request.remote or ""
        self._limits.check("api", remote)
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        key = self._keys.authenticate(text) if scheme.lower() == "bearer" else None
        if key is None:
            self._limits.failed(remote)
            return web.Response(status=401, text="Unauthorized", headers={"WWW-Authenticate": "Bearer"})
        role, right = self._keys.role(key), needed_right(request.method, request.path)
        if role is not None and right is not None and not may(role, right):
            raise ForbiddenError(f"the role {role} of this key's user lacks the right {right}")
        await self._keys.seen(key)
        with acting_as(Actor(kind="api_key", name=key.prefix)):
            return await take_origin(request, handler)
