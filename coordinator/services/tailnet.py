"""The single writer of truth, and the state everybody reads.

A command is a plain function that reads and changes the `Directory`. Commands that wait together share one
transaction; the new snapshot is published, and callers are answered, only after the commit. Volatile facts
change the snapshot at once and are written in batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import structlog

from acl import OpenWindow, Policy, PolicyDraft, PolicyError
from coordinator.audit.origin import current_origin
from coordinator.netmap.config import MapConfig
from coordinator.netmap.world import World
from coordinator.services.publisher import Publisher
from coordinator.tailnet.actors import Origin
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import CoordinatorError, InDoubtError, UnavailableError
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.snapshot import VOLATILE_FIELDS, NodeRecord, Snapshot
from coordinator.tailnet.state import ID_COUNTERS, ChangeSet, TailnetState
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
VOLATILE_INTERVAL = 5.0
"""Seconds between writes of volatile facts: what a crash loses at most, and clients restore by themselves."""


class DurableStore(Protocol):
    """What the writer needs of `store.Store`."""

    async def commit(self, changes: ChangeSet) -> int:
        """Write a batch in one transaction."""

    async def landed(self, mark: str) -> bool:
        """Whether a commit in doubt was taken."""

    async def save_volatile(self, nodes: list[Node]) -> None:
        """Write the volatile columns of existing nodes."""


@dataclass(slots=True)
class _Waiting:
    command: Callable[[Directory], Any]
    future: asyncio.Future[Any]
    origin: Origin


class Tailnet:
    """Current state, and the door through which it changes."""

    def __init__(
        self,
        store: DurableStore,
        state: TailnetState,
        world: World,
        clock: Clock,
        *,
        associated_domains: tuple[str, ...] | None = None,
        auto_updates: bool = False,
        declared_groups: tuple[str, ...] = (),
    ) -> None:
        self.world = world
        self.clock = clock
        self._store = store
        self._directory = Directory(state)
        self._publisher = Publisher(
            world,
            associated_domains=associated_domains,
            auto_updates=auto_updates,
            declared_groups=declared_groups,
        )
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(MAX_WAITING)
        self._listeners: list[Callable[[int], None]] = []
        self._departure_listeners: list[Callable[[Node], None]] = []
        self._stranger_listeners: list[Callable[[], None]] = []
        self._seq = state.seq
        self._commit_listeners: list[Callable[[ChangeSet], None]] = []
        self._unsaved: set[NodeID] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._publisher.apply(
            ChangeSet(
                put_users=dict(state.users),
                put_nodes=dict(state.nodes),
                put_preauth_keys=dict(state.preauth_keys),
            )
        )
        # What expired while no server was running is expired from the first moment on.
        self.expire_due()

    @property
    def snapshot(self) -> Snapshot:
        """The newest published state."""
        return self.world.snapshot

    @property
    def configured(self) -> MapConfig:
        """Names, relays and DNS as configured, before the policy has its say."""
        return self._publisher.configured

    @property
    def waiting(self) -> int:
        """Commands in the queue."""
        return self._queue.qsize()

    def start(self) -> None:
        """Start the writer and the batched saving of volatile facts."""
        self._tasks = [
            spawn("tailnet writer", self._write_forever()),
            spawn("volatile facts", self._save_forever()),
        ]

    async def close(self) -> None:
        """Stop, and save what is volatile once more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._queue.empty():
            self._fail([self._queue.get_nowait()], UnavailableError("the server is shutting down"))
        await self._save_volatile()

    def on_change(self, listener: Callable[[int], None]) -> None:
        """After each publication, call `listener` with the bit set of nodes it may concern."""
        self._listeners.append(listener)

    def on_departure(self, listener: Callable[[Node], None]) -> None:
        """Call `listener` with each node whose key is no longer valid: deleted, expired, or replaced."""
        self._departure_listeners.append(listener)

    def on_commit(self, listener: Callable[[ChangeSet], None]) -> None:
        """Call `listener` with each batch that is durable, before its callers are answered."""
        self._commit_listeners.append(listener)

    def on_stranger(self, listener: Callable[[], None]) -> None:
        """Call `listener` when another instance has written to the database."""
        self._stranger_listeners.append(listener)

    async def execute(self, command: Callable[[Directory], T]) -> T:
        """Run a command in the writer and wait until its effect is durable and published.

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

    def update_volatile(self, node_id: NodeID, **facts: Any) -> NodeRecord | None:
        """Change volatile facts of a node now; they are written within seconds.

        Args:
            node_id: The node; unknown ids are ignored (it may just have been deleted).
            facts: Any of `VOLATILE_FIELDS`.

        Returns:
            The node's record after the change.
        """
        record = self.snapshot.record(node_id)
        if record is None:
            return None
        node = replace(record.node, **facts)
        if node == record.node and node.hostinfo == record.node.hostinfo:
            return record
        self._unsaved.add(node_id)
        self._announce(self._publisher.update([node]))
        return self.snapshot.record(node_id)

    def expire_due(self) -> list[NodeID]:
        """Publish every expiry that has passed; returns the nodes concerned."""
        now = self.clock()
        due = [
            record.node
            for record in self.snapshot.records.values()
            if record.node.expiry is not None and not record.expired and record.node.expiry <= now
        ]
        if due:
            self._announce(self._publisher.expire([node.id for node in due]))
            for node in due:
                self._departed(node)
        return [node.id for node in due]

    def warn_due(self, ahead: timedelta) -> list[Node]:
        """Warn of every expiry that comes within `ahead`; returns the nodes that were not warned before."""
        soon = self.clock() + ahead
        due = [
            record.node
            for record in self.snapshot.records.values()
            if record.node.expiry is not None
            and record.node.expiry <= soon
            and not record.expired
            and not record.expires_soon
        ]
        if due:
            self._announce(self._publisher.warn([node.id for node in due]))
        return due

    def configure(self, config: MapConfig) -> bool:
        """Take other relays or DNS from now on; whether anybody is told something new.

        Raises:
            InvalidError: they do not go with the policy's relays; nothing has changed.
        """
        affected = self._publisher.configure(config)
        self._announce(affected)
        return bool(affected)

    def know_peers(self, peers: Mapping[str, Sequence[str]], profiles: Mapping[str, str]) -> None:
        """Say which plain WireGuard peers there are from now on.

        Args:
            peers: Their addresses, by name.
            profiles: The access profile that is open for them, by name.
        """
        self._announce(self._publisher.know_peers(peers, profiles))

    def replace_policy(self, policy: Policy | None) -> None:
        """Put a policy in force; it must have been checked."""
        self._announce(self._publisher.replace_policy(policy))

    def adopt_policy(self, draft: PolicyDraft) -> None:
        """Put a compiled policy in force; it must have been checked."""
        self._announce(self._publisher.adopt_policy(draft))

    def set_windows(self, windows: Iterable[OpenWindow]) -> None:
        """Have exactly these access windows open, from now on."""
        self._announce(self._publisher.set_windows(windows))

    # inner

    async def _write_forever(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                await self._write(batch)
            except asyncio.CancelledError:
                self._fail(batch, UnavailableError("the server is shutting down"))
                raise

    async def _write(self, batch: list[_Waiting]) -> None:
        directory = self._directory
        answers: list[tuple[_Waiting, Any]] = []
        loop = asyncio.get_running_loop()
        began = loop.time()
        for waiting in batch:
            if waiting.future.cancelled():
                continue
            if loop.time() - began > SLICE_SECONDS:
                # Only this task touches the directory; readers have the snapshot.
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    directory.rollback(0)
                    directory.settle()
                    raise
                began = loop.time()
            mark = directory.mark()
            directory.begin(waiting.origin)
            try:
                answer = waiting.command(directory)
                directory.complete(self.clock())
                answers.append((waiting, answer))
            except (CoordinatorError, PolicyError) as error:
                directory.rollback(mark)
                waiting.future.set_exception(error)
            except Exception as error:  # one broken command must not take its batch along
                directory.rollback(mark)
                log.exception("command failed")
                waiting.future.set_exception(error)
        changes = directory.pending()
        if changes:
            self._take_volatile(changes)
            try:
                await self._commit(changes, [waiting for waiting, _ in answers])
            except CoordinatorError as error:
                log.error("commit failed", error=error.message)
                self._give_up(changes)
                self._fail([waiting for waiting, _ in answers], error)
                return
            except Exception:
                log.exception("commit failed")
                self._give_up(changes)
                refusal = UnavailableError("the change could not be stored; see the server's log")
                self._fail([waiting for waiting, _ in answers], refusal)
                return
            except asyncio.CancelledError:
                directory.rollback(0)
                directory.settle()
                raise
            self._publish(changes)
        directory.settle()
        for waiting, answer in answers:
            if not waiting.future.done():
                waiting.future.set_result(answer)

    async def _commit(self, changes: ChangeSet, batch: list[_Waiting]) -> None:
        """Store a batch. If the answer got lost, ask until the database says what became of it.

        Until then nothing else is stored, since nobody knows on top of what; callers are told after a while.
        """
        try:
            self._follow(await self._store.commit(changes))
        except InDoubtError as error:
            self._seq = None
            log.warning("commit in doubt, asking the database", error=error.message)
            patience = asyncio.get_running_loop().time() + DOUBT_SECONDS
            while True:
                try:
                    landed = await self._store.landed(error.mark)
                    break
                except UnavailableError:
                    if asyncio.get_running_loop().time() > patience:
                        unknown = f"{error.message}; whether the change was stored is not known yet"
                        self._fail(batch, UnavailableError(unknown))
                    await asyncio.sleep(DOUBT_INTERVAL)
            if not landed:
                raise UnavailableError(error.message) from error
            log.warning("commit was stored, only the answer got lost")

    def _follow(self, seq: int) -> None:
        """Notice a commit of somebody else: what is in memory here is not what is stored any more."""
        expected, self._seq = self._seq, seq
        if expected is not None and seq != expected + 1:
            log.critical("another instance wrote to the database")
            for listener in self._stranger_listeners:
                listener()

    def _give_up(self, changes: ChangeSet) -> None:
        """Undo a batch that was not stored; its ids stay used, a commit whose answer got lost may exist."""
        counters = {name: value for name, value in changes.counters.items() if name in ID_COUNTERS}
        self._directory.rollback(0)
        self._directory.settle()
        for name, value in counters.items():
            self._directory.set_counter(name, value)

    def _publish(self, changes: ChangeSet) -> None:
        self._take_volatile(changes)
        before = [self.snapshot.record(node_id) for node_id in (*changes.delete_nodes, *changes.put_nodes)]
        self._announce(self._publisher.apply(changes))
        for take in self._commit_listeners:
            take(changes)
        for record in before:
            if record is None:
                continue
            after = self.snapshot.record(record.node.id)
            if after is None or after.node.node_key != record.node.node_key:
                self._departed(record.node)
        self.expire_due()

    def _take_volatile(self, changes: ChangeSet) -> None:
        """Commands know volatile facts as of the last durable change of a node; keep the newer ones."""
        for node_id, node in changes.put_nodes.items():
            record = self.snapshot.record(node_id)
            if record is None:
                continue
            # A registration with a new NodeKey brings a Hostinfo of its own.
            rekeyed = record.node.node_key != node.node_key
            kept = {
                name: getattr(record.node, name)
                for name in VOLATILE_FIELDS
                if not (rekeyed and name == "hostinfo")
            }
            changes.put_nodes[node_id] = replace(node, **kept)

    def _announce(self, affected: int) -> None:
        if affected:
            for listener in self._listeners:
                listener(affected)

    def _departed(self, node: Node) -> None:
        for listener in self._departure_listeners:
            listener(node)

    @staticmethod
    def _fail(batch: list[_Waiting], error: CoordinatorError) -> None:
        for waiting in batch:
            if not waiting.future.done():
                waiting.future.set_exception(error)

    async def _save_forever(self) -> None:
        while True:
            await asyncio.sleep(VOLATILE_INTERVAL)
            try:
                await self._save_volatile()
            except CoordinatorError as error:
                log.warning("volatile facts not saved, will try again", error=error.message)
            except Exception:
                # One value the database cannot take must not end the saving of all others for good.
                log.exception("volatile facts not saved, will try again")

    async def _save_volatile(self) -> None:
        if not self._unsaved:
            return
        ids, self._unsaved = self._unsaved, set()
        records = [self.snapshot.record(node_id) for node_id in ids]
        try:
            await self._store.save_volatile([record.node for record in records if record is not None])
        except BaseException:
            self._unsaved |= ids
            raise
