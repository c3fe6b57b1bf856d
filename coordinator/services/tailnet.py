"""The state everybody reads, and the door through which it changes.

What is durable goes through the single writer (`services.writer`) and is published after its commit. Volatile
facts change the snapshot at once and are written in batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import structlog

from acl import OpenWindow, Policy, PolicyDraft
from coordinator.netmap.config import MapConfig
from coordinator.netmap.world import World
from coordinator.services.publisher import Publisher
from coordinator.services.writer import DurableStore, Writer
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import CoordinatorError
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.snapshot import VOLATILE_FIELDS, NodeRecord, Snapshot
from coordinator.tailnet.state import ChangeSet, TailnetState
from coordinator.telemetry.tasks import spawn

T = TypeVar("T")
log = structlog.get_logger(__name__)

VOLATILE_INTERVAL = 5.0
"""Seconds between writes of volatile facts: what a crash loses at most, and clients restore by themselves."""


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
        shared: bool = False,
    ) -> None:
        self.world = world
        self.clock = clock
        self._store = store
        self._publisher = Publisher(
            world,
            associated_domains=associated_domains,
            auto_updates=auto_updates,
            declared_groups=declared_groups,
        )
        self._writer = Writer(
            store,
            Directory(state),
            clock,
            state.seq,
            prepare=self._take_volatile,
            publish=self._publish,
            shared=shared,
        )
        self._listeners: list[Callable[[int], None]] = []
        self._volatile_listeners: list[Callable[[NodeID], None]] = []
        self._departure_listeners: list[Callable[[Node], None]] = []
        self._commit_listeners: list[Callable[[ChangeSet], None]] = []
        self._unsaved: set[NodeID] = set()
        self._saving: asyncio.Task[None] | None = None
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
        return self._writer.waiting

    def start(self) -> None:
        """Start the writer and the batched saving of volatile facts."""
        self._writer.start()
        self._saving = spawn("volatile facts", self._save_forever())

    async def close(self) -> None:
        """Stop, and save what is volatile once more."""
        await self._writer.close()
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.gather(self._saving, return_exceptions=True)
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

    def on_volatile(self, listener: Callable[[NodeID], None]) -> None:
        """Call `listener` with each node of which this instance has heard a volatile fact."""
        self._volatile_listeners.append(listener)

    def on_stranger(self, listener: Callable[[], None]) -> None:
        """Call `listener` when what is stored cannot be followed any more: the server has to begin again."""
        self._writer.on_stranger(listener)

    async def execute(self, command: Callable[[Directory], T]) -> T:
        """Run a command in the writer and wait until its effect is durable and published.

        Raises:
            CoordinatorError: what the command raised (nothing was changed then), or UnavailableError when the
                database or the queue cannot take it.
        """
        return await self._writer.execute(command)

    async def catch_up(self) -> None:
        """Be at least as far as every other instance was when this was called; UnavailableError when busy."""
        await self._writer.catch_up()

    def nudge(self) -> None:
        """Another instance may have committed something."""
        self._writer.nudge()

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
        for listener in self._volatile_listeners:
            listener(node_id)
        return self.snapshot.record(node_id)

    def take_volatile(self, facts: Mapping[NodeID, Mapping[str, Any]]) -> None:
        """Take over volatile facts that another instance has heard and saves; unknown nodes are ignored."""
        nodes = []
        for node_id, told in facts.items():
            record = self.snapshot.record(node_id)
            if record is not None:
                nodes.append(replace(record.node, **told))
        if nodes:
            self._announce(self._publisher.update(nodes))

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
