"""Who may make plain WireGuard peers from elsewhere: holders of an API key, of an ID token of a configured
identity provider, or of an enrolment token.

A key of a role with the right `wireguard:write` administers; everybody else is somebody with devices of their
own. Keys and tokens are looked at first, at the cost of one hash; only what fails counts, and an ID token,
whose signature costs more, is not even looked at after too many failures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic

from aiohttp import web

from coordinator.services.admin_refusals import AdminRefusals
from coordinator.services.api_keys import ApiKeyService
from coordinator.services.rate_limits import RateLimits, TokenBuckets
from coordinator.services.wireguard_peer_records import WireGuardCaller
from coordinator.services.wireguard_tokens import WireGuardTokens
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import CoordinatorError, RateLimitedError, UnavailableError
from coordinator.tailnet.rights import may
from coordinator.tailnet.users import User
from coordinator.web.api.acting import acting_as
from coordinator.web.api.bearer import recording_refusals
from coordinator.web.api.wireguard_peers import CALLER
from coordinator.web.errors import problem
from coordinator.web.middleware import Handler, guarded
from coordinator.web.origin import take_origin

BURST, PER_MINUTE = 30, 30
"""Questions of one person or token at once, and how many more a minute: each may store something."""
MAX_TOKEN = 16_384
"""Characters of an ID token."""

VerifyIDToken = Callable[[str], Awaitable[User]]
"""The user an ID token speaks of; CoordinatorError when it does not hold."""
UserOf = Callable[[int], User | None]


class WireGuardCallers:
    """Lets requests through to handlers that people and devices use for themselves.

    Args:
        keys: API keys.
        tokens: Enrolment tokens.
        user_of: A user by id.
        verify: Checks ID tokens; None where no provider is configured.
        limits: Of failed attempts.
        refusals: Where what was forbidden is recorded.
    """

    def __init__(
        self,
        keys: ApiKeyService,
        tokens: WireGuardTokens,
        user_of: UserOf,
        verify: VerifyIDToken | None,
        limits: RateLimits,
        refusals: AdminRefusals,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._user_of = user_of
        self._verify = verify
        self._limits = limits
        self._refusals = refusals
        self._buckets = TokenBuckets(BURST, PER_MINUTE, monotonic)

    def guard(self, route: web.RouteDef) -> web.RouteDef:
        """The same route, for callers who prove themselves."""
        return guarded(route, self._check)

    async def _check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        remote = request.remote or ""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        text = text.strip() if scheme.lower() == "bearer" else ""
        try:
            caller = self._by_secret(text)
            if caller is None:
                self._limits.check("wireguard", remote)
                caller = await self._by_id_token(text)
            if caller is None:
                self._limits.failed(remote)
                return problem(
                    401,
                    "prove who you are: an API key, an ID token or an enrolment token as bearer",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            if not caller.admin:
                self._slow_down(str(caller.actor))
        except RateLimitedError as error:
            return problem(429, error.message, headers={"Retry-After": str(error.retry_after)})
        request[CALLER] = caller
        with acting_as(caller.actor):
            return await take_origin(request, recording_refusals(self._refusals, handler))

    def _by_secret(self, text: str) -> WireGuardCaller | None:
        key = self._keys.authenticate(text)
        if key is not None:
            role = self._keys.role(key)
            return WireGuardCaller(
                actor=Actor(kind="api_key", name=key.prefix),
                admin=role is None or may(role, "wireguard:write"),
                user=None if key.user_id is None else self._user_of(key.user_id),
            )
        token = self._tokens.authenticate(text)
        if token is not None:
            return WireGuardCaller(actor=Actor(kind="wireguard_token", name=token.prefix), token=token)
        return None

    async def _by_id_token(self, text: str) -> WireGuardCaller | None:
        """None when it does not hold, whatever the reason; a provider that is away is said to be."""
        if self._verify is None or text.count(".") != 2 or len(text) > MAX_TOKEN:
            return None
        try:
            user = await self._verify(text)
        except UnavailableError:
            raise
        except CoordinatorError:
            return None
        # Made for a login somewhere, an ID token speaks for its person, not for an administration.
        return WireGuardCaller(actor=Actor(kind="user", name=user.login), user=user)

    def _slow_down(self, name: str) -> None:
        wait = self._buckets.wait(name)
        if wait > 0:
            seconds = max(1, int(wait + 0.999))
            raise RateLimitedError(f"too many requests; try again in {seconds} s", seconds)
        self._buckets.take(name)
