"""The API for callers that prove themselves with an API key, on the public listener.

Every path wants a key. A key without a user may do everything; a user's key what the user's role may.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from coordinator.audit.origin import acting_from
from coordinator.services.admin_refusals import AdminRefusals
from coordinator.services.api_keys import ApiKeyService
from coordinator.services.rate_limits import RateLimits
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.api_keys import split_api_key
from coordinator.tailnet.errors import ForbiddenError
from coordinator.tailnet.rights import Right, may
from coordinator.web.api.acting import acting, acting_as
from coordinator.web.api.superiors import Superiors
from coordinator.web.middleware import log_request
from coordinator.web.origin import origin_of, take_origin

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
    "inventory": ("inventory:read", "inventory:read"),
}
"""By the first part of a path below `/api/v1/`: the right to look, and the right to change."""
_PREFIX = re.compile(r"[0-9A-Za-z]+")
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

    def __init__(
        self, keys: ApiKeyService, limits: RateLimits, refusals: AdminRefusals, superiors: Superiors
    ) -> None:
        self._keys = keys
        self._superiors = superiors
        self._limits = limits
        self._refusals = refusals

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
            if text:
                await self._refused(request, Actor(kind="api_key", name=_claimed(text)), "wrong API key")
            return web.Response(status=401, text="Unauthorized", headers={"WWW-Authenticate": "Bearer"})
        role, right = self._keys.role(key), needed_right(request.method, request.path)
        actor = Actor(kind="api_key", name=key.prefix)
        if role is not None and right is not None and not may(role, right):
            lack = f"the role {role} of this key's user lacks the right {right}"
            await self._refused(request, actor, lack)
            raise ForbiddenError(lack)
        await self._keys.seen(key)

        async def within_their_role(request: web.Request) -> web.StreamResponse:
            if role is not None:
                await self._superiors.check(request, role)
            return await handler(request)

        with acting_as(actor):
            return await take_origin(request, recording_refusals(self._refusals, within_their_role))

    async def _refused(self, request: web.Request, actor: Actor, reason: str) -> None:
        with acting_from(origin_of(request)):
            await self._refusals.record(actor, request.method, request.path, reason)


def recording_refusals(refusals: AdminRefusals, handler: Handler) -> Handler:
    """The handler; what it refuses for lack of rights is recorded. Goes inside of `take_origin`."""

    async def recorded(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ForbiddenError as error:
            await refusals.record(acting(), request.method, request.path, error.message)
            raise

    return recorded


def _claimed(text: str) -> str:
    """The prefix of a key that proved nothing, if it has the form of one; never its secret."""
    parts = split_api_key(text)
    return parts[0] if parts is not None and _PREFIX.fullmatch(parts[0]) else "unknown"
