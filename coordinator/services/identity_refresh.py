"""Asks providers again about users with offline access: their groups, and whether they are still there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from coordinator.oidc.filters import require_allowed
from coordinator.oidc.identity import Identity, make_identity
from coordinator.oidc.provider import GrantRevokedError, Provider, ProviderAwayError
from coordinator.oidc.sealing import TokenSealer
from coordinator.services.identities import IdentityService
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.errors import CoordinatorError, UnauthenticatedError
from coordinator.tailnet.identities import LinkedIdentity
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

LONGEST_TICK = 30.0
RETRY = timedelta(seconds=60)
"""After a failure that says nothing about the user."""


class IdentityRefresher:
    """Keeps what providers say of users fresh.

    Args:
        identities: Where it is written.
        providers: By name.
        sealer: Opens and seals refresh tokens.
        clock: Tells what is due.
        interval: How often each user is asked about; zero: never.
        on_duty: Whether it is for this instance to ask: a refresh token works once.
    """

    def __init__(
        self,
        identities: IdentityService,
        providers: Mapping[str, Provider],
        sealer: TokenSealer,
        clock: Clock,
        interval: timedelta,
        on_duty: Callable[[], bool] = lambda: True,
    ) -> None:
        self._on_duty = on_duty
        self._identities = identities
        self._providers = providers
        self._sealer = sealer
        self._clock = clock
        self._interval = interval
        self._not_before: dict[str, datetime] = {}
        self._away: dict[str, datetime] = {}
        self._unstored: dict[str, str] = {}
        """Refresh tokens the database could not take yet, by the sealed token they replace."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start asking."""
        if self._interval:
            self._task = spawn("identity refresh", self._refresh_forever())

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def refresh_due(self) -> None:
        """Ask once about everybody who is due, one after the other."""
        now = self._clock()
        self._not_before = {each: at for each, at in self._not_before.items() if at > now}
        for linked in await self._identities.renewable(now - self._interval):
            if linked.id in self._not_before or linked.provider not in self._providers:
                continue
            if self._away.get(linked.provider, now) > now:
                continue
            try:
                await self._refresh(linked, self._providers[linked.provider])
            except CoordinatorError as error:
                self._not_before[linked.id] = now + RETRY
                if isinstance(error, ProviderAwayError):
                    # Users of other providers must not wait until it was tried with each of its own; and
                    # next time it is tried with another user.
                    self._away[linked.provider] = now + RETRY
                    self._not_before[linked.id] = now + 2 * RETRY
                log.warning("identity not refreshed", identity=linked.id, error=error.message)

    async def _refresh(self, linked: LinkedIdentity, provider: Provider) -> None:
        stored = linked
        newest = self._unstored.get(linked.refresh_token) or self._sealer.open(
            linked.refresh_token, linked.id
        )

        async def keep(fresh: str) -> None:
            nonlocal stored, newest
            self._unstored[linked.refresh_token] = newest = fresh
            stored = await self._identities.keep_token(linked, self._sealer.seal(fresh, linked.id))
            del self._unstored[linked.refresh_token]

        try:
            grant = await provider.refresh(newest, keep)
        except GrantRevokedError as error:
            await self._shut_out(stored, error.message)
            return
        sealed = self._sealer.seal(newest, linked.id)
        identity: Identity | None = None
        if grant.claims:
            identity = make_identity(provider.config, grant.claims)
            if identity.identifier != linked.id:
                raise UnauthenticatedError("the provider answered for somebody else")
            try:
                require_allowed(provider.config, identity, grant.claims)
            except UnauthenticatedError as error:
                await self._shut_out(stored, error.message)
                return
        await self._identities.refreshed(stored, identity, sealed)
        self._unstored.pop(linked.refresh_token, None)

    async def _shut_out(self, linked: LinkedIdentity, reason: str) -> None:
        self._unstored.pop(linked.refresh_token, None)
        if await self._identities.shut_out(linked, reason):
            log.warning("user shut out by provider", identity=linked.id, reason=reason)

    async def _refresh_forever(self) -> None:
        tick = min(self._interval.total_seconds() / 4, LONGEST_TICK)
        while True:
            await asyncio.sleep(tick)
            try:
                if self._on_duty():
                    await self.refresh_due()
            except CoordinatorError as error:
                log.warning("identities not refreshed", error=error.message)
            except Exception:
                # Whatever one provider answers, the others' users have to be asked about again.
                log.exception("identities not refreshed")
