"""The single writer: commands that wait together share one transaction, and are answered after its commit.

A command is a plain function that reads and changes the `Directory`. It may run twice: when another instance
has committed in between, everything is undone, what that one wrote is taken over, and the commands run again
on top of it, under the lock of the change log. So a command sees the newest state there is, whichever
instance it came to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import structlog

from acl import PolicyError
from coordinator.audit.origin import current_origin
from coordinator.tailnet.actors import Origin
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import CoordinatorError, InDoubtError, UnavailableError
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.state import ID_COUNTERS, ChangeSet, Missed
from coordinator.telemetry.tasks import spawn

T = TypeVar("T")
log = structlog.get_logger(__name__)

MAX_BATCH = 256
"""Commands that share one commit; more would make the first wait for the last without saving much."""
MAX_WAITING = 20_000
"""Commands in the queue; beyond that callers are told to come again, which clients do by themselves."""
SLICE_SECONDS = 0.005
"""How long commands of one batch may hold the event loop."""
DOUBT_SECONDS = 5.0
"""How long callers wait for the database to say whether their change was stored."""
DOUBT_INTERVAL = 0.2
_BEGINNING_AGAIN = "the server has lost track of the database and begins again; try again shortly"

Redo = Callable[[Missed], ChangeSet]


class DurableStore(Protocol):
    """What the writer needs of `store.Store`."""

    async def commit(self, changes: ChangeSet, *, after: int | None = None, redo: Redo | None = None) -> int:
        """Write a batch in one transaction."""

    async def landed(self, mark: str) -> bool:
        """Whether a commit in doubt was taken."""

    async def missed(self, after: int) -> Missed | None:
        """What others have committed since `after`; None when nobody did."""

    async def save_volatile(self, nodes: list[Node]) -> None:
        """Write the volatile columns of existing nodes."""


@dataclass(slots=True)
class _Waiting:
    command: Callable[[Directory], Any]
    future: asyncio.Future[Any]
    origin: Origin


@dataclass(slots=True)
class _Outcome:
    """What a batch of commands came to; nobody has been told yet."""

    answers: list[tuple[_Waiting, Any]] = field(default_factory=list)
    refusals: list[tuple[_Waiting, Exception]] = field(default_factory=list)


class Writer:
    """The queue of commands, and what becomes of them.

    Args:
        store: Takes the batches.
        directory: All durable facts; nobody else touches it.
        clock: The present.
        seq: Of the newest commit in `directory`; None for a state nobody stored.
        prepare: Called with a batch before it is stored, to complete it.
        publish: Called with each batch that is durable, before its callers are answered.
        shared: Other instances may write to the same database.
    """

    def __init__(
        self,
        store: DurableStore,
        directory: Directory,
        clock: Clock,
        seq: int | None,
        *,
        prepare: Callable[[ChangeSet], None],
        publish: Callable[[ChangeSet], None],
        shared: bool = False,
    ) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._seq = seq
        self._prepare = prepare
        self._publish = publish
        self._shared = shared and seq is not None
        self._stranger_listeners: list[Callable[[], None]] = []
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue(MAX_WAITING)
        self._nudged = False
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Commands in the queue."""
        return self._queue.qsize()

    def start(self) -> None:
        """Start taking commands."""
        self._task = spawn("tailnet writer", self._write_forever())

    async def close(self) -> None:
        """Stop; who waits is told."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while not self._queue.empty():
            waiting = self._queue.get_nowait()
            if waiting is not None:
                _fail([waiting], UnavailableError("the server is shutting down"))

    def on_stranger(self, listener: Callable[[], None]) -> None:
        """Call `listener` when what is in memory here cannot be brought in line with what is stored."""
        self._stranger_listeners.append(listener)

    async def execute(self, command: Callable[[Directory], T]) -> T:
        """Run a command and wait until its effect is durable and published.

        Raises:
            CoordinatorError: what the command raised (nothing was changed then), or UnavailableError when the
                database or the queue cannot take it.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Waiting(command, future, current_origin()))
        except asyncio.QueueFull:
            raise UnavailableError("too many changes are waiting; try again shortly") from None
        return await future

    def nudge(self) -> None:
        """Another instance may have committed: look, as soon as the commands at hand are done."""
        if self._nudged or not self._shared:
            return
        self._nudged = True
        if not self._queue.full():
            self._queue.put_nowait(None)

    async def catch_up(self) -> None:
        """Take over whatever other instances have committed before this call.

        Raises:
            UnavailableError: the queue cannot take it.
        """
        if self._shared:
            self._nudged = True
            await self.execute(lambda directory: None)

    # inner

    async def _write_forever(self) -> None:
        while True:
            items = [await self._queue.get()]
            while len(items) < MAX_BATCH and not self._queue.empty():
                items.append(self._queue.get_nowait())
            batch = [item for item in items if item is not None]
            try:
                if self._nudged:
                    self._nudged = False
                    await self._catch_up()
                if batch:
                    await self._write(batch)
            except asyncio.CancelledError:
                _fail(batch, UnavailableError("the server is shutting down"))
                raise

    async def _write(self, batch: list[_Waiting]) -> None:
        outcome = await self._run_sliced(batch)
        if outcome.refusals and self._shared:
            # What looks wrong from here may be right by what another instance has just stored.
            self._undo()
            await self._catch_up()
            outcome = self._run(batch)

        def redo(missed: Missed) -> ChangeSet:
            nonlocal outcome
            self._undo()
            self._absorb(missed)
            outcome = self._run(batch)
            return self._pending()

        if changes := self._pending():
            try:
                await self._commit(changes, batch, redo)
            except CoordinatorError as error:
                log.error("commit failed", error=error.message)
                self._give_up()
                _refuse(outcome)
                _fail(batch, error)
                return
            except Exception:
                log.exception("commit failed")
                self._give_up()
                _refuse(outcome)
                _fail(batch, UnavailableError("the change could not be stored; see the server's log"))
                return
            except asyncio.CancelledError:
                self._undo()
                raise
            self._publish(self._directory.pending())
        self._directory.settle()
        _refuse(outcome)
        for waiting, answer in outcome.answers:
            if not waiting.future.done():
                waiting.future.set_result(answer)

    async def _run_sliced(self, batch: list[_Waiting]) -> _Outcome:
        """Run a batch, letting the event loop go now and then: readers have the snapshot."""
        outcome = _Outcome()
        loop = asyncio.get_running_loop()
        began = loop.time()
        for waiting in batch:
            if loop.time() - began > SLICE_SECONDS:
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    self._undo()
                    raise
                began = loop.time()
            self._run_one(waiting, outcome)
        return outcome

    def _run(self, batch: list[_Waiting]) -> _Outcome:
        outcome = _Outcome()
        for waiting in batch:
            self._run_one(waiting, outcome)
        return outcome

    def _run_one(self, waiting: _Waiting, outcome: _Outcome) -> None:
        if waiting.future.done():
            return
        directory = self._directory
        mark = directory.mark()
        directory.begin(waiting.origin)
        try:
            answer = waiting.command(directory)
            directory.complete(self._clock())
            outcome.answers.append((waiting, answer))
        except (CoordinatorError, PolicyError) as error:
            directory.rollback(mark)
            outcome.refusals.append((waiting, error))
        except Exception as error:  # one broken command must not take its batch along
            directory.rollback(mark)
            log.exception("command failed")
            outcome.refusals.append((waiting, error))

    def _pending(self) -> ChangeSet:
        changes = self._directory.pending()
        if changes:
            self._prepare(changes)
        return changes

    async def _commit(self, changes: ChangeSet, batch: list[_Waiting], redo: Redo) -> None:
        """Store a batch. If the answer got lost, ask until the database says what became of it.

        Until then nothing else is stored, since nobody knows on top of what; callers are told after a while.
        """
        try:
            if self._shared:
                seq = await self._store.commit(changes, after=self._seq, redo=redo)
            else:
                seq = await self._store.commit(changes)
            self._follow(seq)
        except InDoubtError as error:
            log.warning("commit in doubt, asking the database", error=error.message)
            patience = asyncio.get_running_loop().time() + DOUBT_SECONDS
            while True:
                try:
                    landed = await self._store.landed(error.mark)
                    break
                except UnavailableError:
                    if asyncio.get_running_loop().time() > patience:
                        unknown = f"{error.message}; whether the change was stored is not known yet"
                        _fail(batch, UnavailableError(unknown))
                    await asyncio.sleep(DOUBT_INTERVAL)
            if not landed:
                raise UnavailableError(error.message) from error
            log.warning("commit was stored, only the answer got lost")
            # It was the next one, as nobody else commits between the look at the log and the commit.
            self._seq = None if self._seq is None else self._seq + 1

    def _follow(self, seq: int) -> None:
        """Notice a commit of somebody else that was not taken over."""
        expected, self._seq = self._seq, seq
        if expected is not None and seq not in (expected, expected + 1):
            self._lost("another instance wrote to the database")

    # other instances

    async def _catch_up(self) -> None:
        """Take over what others have committed; nothing may be pending."""
        assert self._seq is not None
        try:
            missed = await self._store.missed(self._seq)
        except CoordinatorError as error:
            # The next commit, or the next nudge, looks again.
            log.warning("cannot look for changes of other instances", error=error.message)
            return
        except Exception:
            # It would end the writer, and with it every answer.
            log.exception("changes of other instances not understood")
            self._lost("changes of other instances not understood")
            return
        if missed is not None:
            with suppress(UnavailableError):
                self._absorb(missed)

    def _absorb(self, missed: Missed) -> None:
        """Take it over; UnavailableError when that cannot be: nothing may be stored on top of it then."""
        if missed.changes is None:
            self._lost("too far behind the other instances")
            raise UnavailableError(_BEGINNING_AGAIN)
        try:
            self._directory.absorb(missed.changes)
            self._seq = missed.seq
            self._publish(missed.changes)
        except Exception as error:
            log.exception("changes of other instances not taken over")
            self._lost("changes of other instances not taken over")
            raise UnavailableError(_BEGINNING_AGAIN) from error

    def _lost(self, reason: str) -> None:
        log.critical("what is stored cannot be followed, beginning again", reason=reason)
        for listener in self._stranger_listeners:
            listener()

    # undoing

    def _undo(self) -> None:
        self._directory.rollback(0)
        self._directory.settle()

    def _give_up(self) -> None:
        """Undo a batch that was not stored; its ids stay used, a commit whose answer got lost may exist.

        Where others write, that one would be met when the next is stored, and their counters count.
        """
        if self._shared:
            self._undo()
            return
        changed = self._directory.pending().counters
        counters = {name: value for name, value in changed.items() if name in ID_COUNTERS}
        self._undo()
        for name, value in counters.items():
            self._directory.set_counter(name, value)


def _refuse(outcome: _Outcome) -> None:
    for waiting, error in outcome.refusals:
        if not waiting.future.done():
            waiting.future.set_exception(error)


def _fail(batch: list[_Waiting], error: CoordinatorError) -> None:
    for waiting in batch:
        if not waiting.future.done():
            waiting.future.set_exception(error)
