"""Carry the log to the sinks: every entry at least once, in order, with a stored cursor for each sink.

A sink that fails is tried again, ever more slowly, and holds up no other; what waits for it is a metric. A
cursor moves only after its sink took the batch, so a crash in between sends that batch again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from coordinator.audit.entry import Cursor, Head, SealedEntry
from coordinator.audit.query import AuditQuery
from coordinator.audit.sinks import Sink, SinkError
from coordinator.tailnet.errors import CoordinatorError
from coordinator.telemetry.metrics import METRICS
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

BATCH = 200
LOOK_SECONDS = 5.0
"""How long entries of another server on the same database may wait; our own are told at once."""
RETRY_FIRST, RETRY_MOST = 1.0, 60.0
LAST_SECONDS = 2.0
"""How long a stopping server tries to get the last entries out; the next start goes on with the rest."""


class ExportedLog(Protocol):
    """What the exporter needs of `store.audit_log.AuditLog`."""

    def on_append(self, listener: Callable[[], None]) -> None:
        """Call back after new entries."""

    async def entries(self, query: AuditQuery) -> list[SealedEntry]:
        """Read entries."""

    async def head(self) -> Head | None:
        """The ends of the chain."""

    async def cursor(self, sink: str) -> Cursor:
        """How far a sink has got."""

    async def save_cursor(self, cursor: Cursor) -> None:
        """Remember how far."""


class Exporter:
    """One task a sink.

    Args:
        audit: The log.
        sinks: Where it goes.
        on_duty: Whether it is for this instance to carry anything now.
        retry_first: Seconds before the first try after a failure; doubled up to `RETRY_MOST`.
    """

    def __init__(
        self,
        audit: ExportedLog,
        sinks: Sequence[Sink],
        *,
        on_duty: Callable[[], bool] = lambda: True,
        retry_first: float = RETRY_FIRST,
    ) -> None:
        self._on_duty = on_duty
        self._audit = audit
        self._sinks = sinks
        self._retry_first = retry_first
        self._news = {sink.name: asyncio.Event() for sink in sinks}
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        audit.on_append(self._wake)

    def start(self) -> None:
        """Start carrying."""
        self._tasks = [spawn(f"audit to {sink.name}", self._carry_forever(sink)) for sink in self._sinks]

    async def close(self) -> None:
        """Stop, after one last try for what is new."""
        self._stop.set()
        self._wake()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=LAST_SECONDS)
        for task in late:
            log.warning("audit entries wait for the next start", task=task.get_name())
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _wake(self) -> None:
        for event in self._news.values():
            event.set()

    async def _carry_forever(self, sink: Sink) -> None:
        news, wait = self._news[sink.name], self._retry_first
        while True:
            news.clear()
            last = self._stop.is_set()
            failed = self._on_duty() and await self._try(sink)
            if last:
                return
            if failed:
                # New entries do not make a sink that is away come back sooner.
                await _wait_for(self._stop, wait)
                wait = min(wait * 2, RETRY_MOST)
            else:
                await _wait_for(news, LOOK_SECONDS)
                wait = self._retry_first

    async def _try(self, sink: Sink) -> bool:
        """Carry what is there; whether that failed."""
        try:
            await self._carry(sink)
        except (SinkError, CoordinatorError) as error:
            log.warning("audit entries not delivered, will try again", sink=sink.name, error=str(error))
        except Exception:
            # One entry that a sink chokes on must not end the export in silence.
            log.exception("audit entries not delivered, will try again", sink=sink.name)
        else:
            return False
        METRICS.audit_failures.labels(sink=sink.name).inc()
        return True

    async def _carry(self, sink: Sink) -> None:
        """Everything that is there; the cursor is read anew, another server may have moved it."""
        cursor = await self._audit.cursor(sink.name)
        while True:
            await self._measure(sink, cursor)
            batch = await self._audit.entries(AuditQuery(after=cursor.last_id, limit=BATCH))
            if not batch:
                return
            if batch[0].previous != cursor.last_hash:
                log.error(
                    "audit log does not continue what was delivered: run `audit verify`", sink=sink.name
                )
            await sink.send(batch)
            cursor = Cursor(sink.name, batch[-1].id, batch[-1].hash)
            await self._audit.save_cursor(cursor)
            METRICS.audit_exported.labels(sink=sink.name).inc(len(batch))

    async def _measure(self, sink: Sink, cursor: Cursor) -> None:
        head = await self._audit.head()
        last = head.last_id if head is not None else 0
        METRICS.audit_backlog.labels(sink=sink.name).set(max(0, last - cursor.last_id))
        if last < cursor.last_id:
            raise SinkError(
                f"the log ends with entry {last}, but {cursor.last_id} was delivered: somebody cut it; "
                "run `audit verify`"
            )


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
