"""Asks providers again about users with offline access: their groups, and whether they are still there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from coordinator.oidc.filters import require_allowed
from coordinator.oidc.identity import Identity, make_identity
from coordinator.oidc.provider import GrantRevokedError, Provider
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
    """

    def __init__(
        self,
        identities: IdentityService,
        providers: Mapping[str, Provider],
        sealer: TokenSealer,
        clock: Clock,
        interval: timedelta,
    ) -> None:
        self._identities = identities
        self._providers = providers
        self._sealer = sealer
        self._clock = clock
        self._interval = interval
        self._not_before: dict[str, datetime] = {}
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
            if linked.id not in self._not_before and linked.provider in self._providers:
                try:
                    await self._refresh(linked, self._providers[linked.provider])
                except CoordinatorError as error:
                    self._not_before[linked.id] = now + RETRY
                    log.warning("identity not refreshed", identity=linked.id, error=error.message)

    async def _refresh(self, linked: LinkedIdentity, provider: Provider) -> None:
        token = self._sealer.open(linked.refresh_token, linked.id)
        try:
            grant = await provider.refresh(token)
        except GrantRevokedError as error:
            await self._shut_out(linked, error.message)
            return
        sealed = self._sealer.seal(grant.refresh_token or token, linked.id)
        identity: Identity | None = None
        if grant.claims:
            identity = make_identity(provider.config, grant.claims)
            if identity.identifier != linked.id:
                raise UnauthenticatedError("the provider answered for somebody else")
            try:
                require_allowed(provider.config, identity, grant.claims)
            except UnauthenticatedError as error:
                await self._shut_out(linked, error.message)
                return
        await self._identities.refreshed(linked, identity, sealed)

    async def _shut_out(self, linked: LinkedIdentity, reason: str) -> None:
        if await self._identities.shut_out(linked, reason):
            log.warning("user shut out by provider", identity=linked.id, reason=reason)

    async def _refresh_forever(self) -> None:
        tick = min(self._interval.total_seconds() / 4, LONGEST_TICK)
        while True:
            await asyncio.sleep(tick)
            try:
                await self.refresh_due()
            except CoordinatorError as error:
                log.warning("identities not refreshed", error=error.message)
            except Exception:
                # Whatever one provider answers, the others' users have to be asked about again.
                log.exception("identities not refreshed")
