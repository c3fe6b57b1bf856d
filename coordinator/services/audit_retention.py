"""Give up audit entries that are older than the configuration wants; runs only if it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from coordinator.tailnet.clock import Clock
from coordinator.tailnet.errors import CoordinatorError
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

INTERVAL = 3600.0
"""Seconds between looks; each leaves one entry at most."""


class PrunableLog(Protocol):
    """What is needed of `store.audit_log.AuditLog`."""

    async def prune(self, now: datetime, retention: timedelta, sinks: Sequence[str]) -> int:
        """Give up what is older; returns how many entries."""


class AuditRetention:
    """Looks now and then.

    Args:
        audit: The log.
        retention: How long entries stay; zero for ever.
        sinks: Names of those that must have taken an entry before.
        clock: The time.
        on_duty: Whether it is for this instance to look.
    """

    def __init__(
        self,
        audit: PrunableLog,
        retention: timedelta,
        sinks: Sequence[str],
        clock: Clock,
        on_duty: Callable[[], bool] = lambda: True,
    ) -> None:
        self._on_duty = on_duty
        self._audit = audit
        self._retention = retention
        self._sinks = sinks
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start looking, if there is an end to anything."""
        if self._retention:
            self._task = spawn("audit retention", self._look_forever())

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> int:
        """Look once; returns how many entries were given up."""
        count = await self._audit.prune(self._clock(), self._retention, self._sinks)
        if count:
            log.info("audit entries given up", entries=count)
        return count

    async def _look_forever(self) -> None:
        while True:
            try:
                if self._on_duty():
                    await self.look()
            except CoordinatorError as error:
                log.warning("audit entries not given up yet", error=error.message)
            await asyncio.sleep(INTERVAL)
