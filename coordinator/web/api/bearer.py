"""The API for callers that prove themselves with an API key, on the public listener.

Every path wants a key. A key without a user may do everything; a user's key what the user's role may, and
asking for access and deciding about it in the user's own name, for which no role is needed.

A good key is never turned away for wrong ones that come from the same address: it is looked at first, at the
cost of one hash, and only what fails counts.

On the paths about access a machine's identity token, made out to this server, does as well: it acts as the
machine's owner, for that machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from coordinator.audit.origin import acting_from
from coordinator.services.admin_refusals import AdminRefusals
from coordinator.services.api_keys import ApiKeyService
from coordinator.services.id_tokens import IDTokens
from coordinator.services.rate_limits import RateLimits
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.api_keys import split_api_key
from coordinator.tailnet.errors import ForbiddenError, UnauthenticatedError
from coordinator.tailnet.rights import Right, may
from coordinator.web.api.acting import acting, acting_as
from coordinator.web.api.superiors import Superiors
from coordinator.web.middleware import Handler, guarded
from coordinator.web.origin import origin_of, take_origin
from coordinator.web.visitors import Visitor, visited_by

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
    "inventory": ("inventory:read", "inventory:read"),
}
"""By the first part of a path below `/api/v1/`: the right to look, and the right to change."""
_PREFIX = re.compile(r"[0-9A-Za-z]+")
_ASKING = ("policy/check",)
"""POSTs that change nothing."""
_PERSONAL = re.compile(
    r"access/(whoami|profiles|requests(/[0-9]+(/(approve|deny|extend|revoke|review|key))?)?)", re.ASCII
)
"""What people do in their own name: the policy says who may, the handlers show each what concerns them."""


_TOKEN_DOTS = 2
"""Of a JSON Web Token; no key has any."""


def needed_right(method: str, path: str) -> Right | None:
    """The right a request needs; None: a valid key is enough."""
    rest = _below_root(path)
    rights = _NOUNS.get(rest.partition("/")[0])
    if rights is None:
        return None
    return rights[method not in ("GET", "HEAD") and rest not in _ASKING]


def personal(path: str) -> bool:
    """Whether a request needs a person, and no right of their role."""
    return _PERSONAL.fullmatch(_below_root(path)) is not None


def _below_root(path: str) -> str:
    return path.removeprefix("/api/v1/").strip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Caller:
    """Who holds a credential. `role` None: somebody who may do everything."""

    actor: Actor
    role: str | None
    person: Visitor | None


class BearerGuard:
    """Lets requests through to the API's handlers."""

    def __init__(
        self,
        keys: ApiKeyService,
        limits: RateLimits,
        tokens: IDTokens,
        refusals: AdminRefusals,
        superiors: Superiors,
    ) -> None:
        self._keys = keys
        self._superiors = superiors
        self._limits = limits
        self._tokens = tokens
        self._refusals = refusals

    def guard(self, route: web.RouteDef) -> web.RouteDef:
        """The same route, for callers with a key."""
        return guarded(route, self._check)

    async def _check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        remote = request.remote or ""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        shown = text.strip() if scheme.lower() == "bearer" else ""
        caller = await self._by_key(shown)
        try:
            if caller is None:
                # An identity token's signature costs more than a hash.
                self._limits.check("api", remote)
                caller = self._by_identity_token(shown, request.path)
        except UnauthenticatedError as error:
            self._limits.failed(remote)
            await self._refused(request, Actor(kind="api_key", name="unknown"), error.message)
            raise
        if caller is None:
            self._limits.failed(remote)
            if text:
                await self._refused(request, Actor(kind="api_key", name=_claimed(text)), "wrong API key")
            return web.Response(status=401, text="Unauthorized", headers={"WWW-Authenticate": "Bearer"})
        right, role = needed_right(request.method, request.path), caller.role
        if role is not None and right is not None and not personal(request.path) and not may(role, right):
            lack = f"the role {role} of this key's user lacks the right {right}"
            await self._refused(request, caller.actor, lack)
            raise ForbiddenError(lack)

        async def within_their_role(request: web.Request) -> web.StreamResponse:
            if role is not None:
                await self._superiors.check(request, role)
            return await handler(request)

        with acting_as(caller.actor, role), visited_by(caller.person):
            return await take_origin(request, recording_refusals(self._refusals, within_their_role))

    def _by_identity_token(self, text: str, path: str) -> _Caller | None:
        """The holder of an identity token, where those count; None: it is none, or does not count here."""
        if text.count(".") != _TOKEN_DOTS or not _below_root(path).startswith("access/"):
            return None
        user, node = self._tokens.verify(text)
        actor = Actor(kind="node", name=str(node.id))
        return _Caller(actor=actor, role=user.role, person=Visitor(user=user, node=node))

    async def _by_key(self, text: str) -> _Caller | None:
        """The holder of an API key; None: it is none."""
        key = self._keys.authenticate(text)
        if key is None:
            return None
        await self._keys.seen(key)
        holder = self._keys.user(key)
        return _Caller(
            actor=Actor(kind="api_key", name=key.prefix),
            role=self._keys.role(key),
            person=None if holder is None else Visitor(user=holder),
        )

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
