"""Several servers on one database: who is there, who does what only one shall do, and what all must agree on.

Each gives a sign of life every few seconds. One that gives none for a while, by the clock of whoever looks,
is taken off; no clocks are compared. The longest at work has the duties that would be done twice otherwise,
such as carrying the audit log elsewhere. Whatever changes the tailnet is safe on all of them, see
`services.writer`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

import structlog

from coordinator.tailnet.errors import CoordinatorError, InvalidError
from coordinator.tailnet.instances import Instance
from coordinator.telemetry.metrics import METRICS
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

BEAT_SECONDS = 2.0
LOST_SECONDS = 10.0
"""Without a sign of life for so long an instance counts as gone."""

Listener = Callable[[Sequence[Instance], Sequence[Instance]], None]


class InstanceBoard(Protocol):
    """What this needs of `store.Board`."""

    async def join(self, instance: Instance) -> None:
        """Say that an instance is there."""

    async def beat(self, instance_id: str) -> bool:
        """Give a sign of life."""

    async def leave(self, instance_id: str) -> None:
        """Take an instance off."""

    async def instances(self) -> list[Instance]:
        """All of them, the longest at work first."""


class Instances:
    """The others, as seen from here.

    Args:
        board: Where all say that they are there.
        me: This one.
    """

    def __init__(self, board: InstanceBoard, me: Instance) -> None:
        self._board = board
        self._me = me
        self._listeners: list[Listener] = []
        self._known: list[Instance] = []
        self._heard: dict[str, tuple[int, float]] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def on_change(self, listener: Listener) -> None:
        """Call `listener` with those longer at work and those that came later, whenever they are others."""
        self._listeners.append(listener)

    def on_duty(self) -> bool:
        """Whether this one does what only one shall do."""
        return not self._known or self._known[0].id == self._me.id

    def nudge(self) -> None:
        """Somebody has come or gone."""
        self._news.set()

    async def start(self) -> None:
        """Join the others.

        Raises:
            InvalidError: an instance behind the same address has another Noise key.
            UnavailableError: the database does not answer.
        """
        await self._agree()
        await self._board.join(self._me)
        await self.look()
        self._task = spawn("instances", self._look_forever())

    async def close(self) -> None:
        """Leave."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._board.leave(self._me.id)
        except CoordinatorError as error:
            log.warning("cannot tell other instances of the end", error=error.message)

    async def look(self) -> None:
        """See who is there; UnavailableError when the database does not answer."""
        now, there = monotonic(), []
        for each in await self._board.instances():
            beats, since = self._heard.get(each.id, (-1, now))
            if each.beats != beats:
                since = now
            self._heard[each.id] = (each.beats, since)
            if each.id == self._me.id or now - since < LOST_SECONDS:
                there.append(each)
            else:
                log.warning("instance gives no sign of life, taken off", instance=each.id)
                await self._board.leave(each.id)
        before, self._known = [each.id for each in self._known], there
        if before != [each.id for each in there]:
            METRICS.instances.set(len(there))
            place = next((at for at, each in enumerate(there) if each.id == self._me.id), len(there))
            log.info("instances at work", count=len(there), on_duty=self.on_duty())
            for listener in self._listeners:
                listener(there[:place], there[place + 1 :])

    async def _agree(self) -> None:
        """Clients behind one address must not care which instance they meet."""
        strange = await self._strange()
        if strange:
            # It may be what a crash has left behind.
            await asyncio.sleep(LOST_SECONDS)
            alive = {each.id for each in await self._strange() if each not in strange}
            if alive:
                raise InvalidError(
                    f"another instance serves {self._me.server_url} with another Noise key: "
                    "give all instances the same file `noise.private_key_path`"
                )

    async def _strange(self) -> list[Instance]:
        return [
            each
            for each in await self._board.instances()
            if each.server_url == self._me.server_url and each.noise_key != self._me.noise_key
        ]

    async def _look_forever(self) -> None:
        beaten = monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), max(beaten + BEAT_SECONDS - monotonic(), 0))
            self._news.clear()
            try:
                # However often others come and go: without a sign of life this one would be taken off.
                if monotonic() >= beaten + BEAT_SECONDS:
                    await self._give_sign()
                    beaten = monotonic()
                await self.look()
            except CoordinatorError as error:
                log.warning("cannot see other instances, will try again", error=error.message)
                await asyncio.sleep(BEAT_SECONDS)

    async def _give_sign(self) -> None:
        if not await self._board.beat(self._me.id):
            # Others took this one for dead, or the table was emptied.
            log.warning("this instance was taken off, joining again")
            await self._board.join(self._me)
