"""Turns changes into the next snapshot, and says whom they concern.

Everything here runs between awaits: readers see the state before or the state after, never between.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from typing import TypeVar

from acl import OpenWindow, PeerView, Policy, PolicyDraft
from coordinator.netmap.config import MapConfig
from coordinator.netmap.derp import with_policy_relays
from coordinator.netmap.user_profiles import user_profile
from coordinator.netmap.world import World
from coordinator.tailnet.bits import indices
from coordinator.tailnet.facts import node_fact, tailnet_facts
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.snapshot import NodeRecord, Snapshot, advance, shown_user
from coordinator.tailnet.state import ChangeSet
from coordinator.tailnet.users import User, UserID

K = TypeVar("K")
V = TypeVar("V")


class Publisher:
    """Owner of the `World`; the only code that replaces its snapshot."""

    def __init__(
        self,
        world: World,
        *,
        associated_domains: tuple[str, ...] | None,
        auto_updates: bool,
        declared_groups: tuple[str, ...] = (),
    ) -> None:
        self.world = world
        self._declared_groups = declared_groups
        self._associated_domains = associated_domains
        self._auto_updates = auto_updates
        self.configured = world.config
        self._free: list[int] = []
        self._next_index = 0
        self._peers: Mapping[str, Sequence[str]] = {}
        self._peer_profiles: Mapping[str, str] = {}

    def apply(self, changes: ChangeSet) -> int:
        """Publish a committed batch.

        Returns:
            Bit set of the node indices that may have something new to be told.
        """
        old = self.world.snapshot
        users = _changed(old.users, changes.put_users, changes.delete_users)
        keys = _changed(old.preauth_keys, changes.put_preauth_keys, changes.delete_preauth_keys)
        base = replace(
            old,
            seq=old.seq + 1,
            users=users,
            users_seq=old.seq + 1 if _profiles_differ(old.users, changes.put_users) else old.users_seq,
            preauth_keys=keys,
        )
        affected = restamped = 0
        if users is not old.users:
            affected, restamped = self._users_changed(
                users, base.seq, {*changes.put_users, *changes.delete_users}
            )
            base = replace(base, records=_restamped(old.records, restamped, base.seq))
            if base.users_seq == base.seq:
                # A profile may be shown to anyone: everybody compares.
                affected |= sum(1 << index for index in old.records)
        return affected | self._nodes_changed(
            base, changes.put_nodes.values(), changes.delete_nodes, restamped=restamped
        )

    def update(self, nodes: Iterable[Node]) -> int:
        """Publish volatile changes of existing nodes; returns whom they concern."""
        old = self.world.snapshot
        return self._nodes_changed(replace(old, seq=old.seq + 1), nodes, ())

    def expire(self, expired: Iterable[NodeID]) -> int:
        """Publish that the keys of these nodes are past their expiry."""
        return self._nodes_changed(
            replace(self.world.snapshot, seq=self.world.snapshot.seq + 1), (), (), set(expired)
        )

    def warn(self, concerned: Collection[NodeID]) -> int:
        """Publish that the keys of these nodes expire soon; only they are told."""
        old = self.world.snapshot
        seq, affected = old.seq + 1, 0
        records = dict(old.records)
        for node_id in concerned:
            index = old.index_of[node_id]
            record = records[index]
            records[index] = advance(record, record.node, expired=record.expired, seq=seq, expires_soon=True)
            affected |= 1 << index
        self.world.snapshot = replace(old, seq=seq, records=records)
        self.world.log.changed(seq, 0)
        return affected

    def replace_policy(self, policy: Policy | None) -> int:
        """Put another policy in force; returns whom it concerns."""
        return self._take_policy(policy, lambda: self.world.policy.replace_policy(policy))

    def adopt_policy(self, draft: PolicyDraft) -> int:
        """Put a compiled policy in force; returns whom it concerns."""
        return self._take_policy(draft.policy, lambda: self.world.policy.adopt(draft))

    def set_windows(self, windows: Iterable[OpenWindow]) -> int:
        """Have exactly these access windows open; returns whom it concerns.

        How nodes look to everyone depends on no window, so nothing that is shared has to be made anew.
        """
        world, old = self.world, self.world.snapshot
        affected = world.policy.set_windows(windows)
        if affected:
            seq = old.seq + 1
            world.structure_seq = world.special_seq = seq
            world.snapshot = replace(old, seq=seq)
            world.log.changed(seq, 0)
            world.fragments.touch(seq, 0)
        return affected

    def _take_policy(self, policy: Policy | None, replace_it: Callable[[], int]) -> int:
        world, old = self.world, self.world.snapshot
        seq = old.seq + 1
        before = {index: world.default_view(record) for index, record in old.records.items()}
        affected = replace_it() | self._relays_changed(policy, seq)
        world.structure_seq = world.special_seq = seq
        world.fragments.policy_changed()
        changed = self._differing(before)
        world.snapshot = replace(old, seq=seq, records=_restamped(old.records, changed, seq))
        world.log.changed(seq, changed)
        world.fragments.touch(seq, changed)
        return affected | self._viewers_of(changed)

    def know_peers(self, peers: Mapping[str, Sequence[str]], profiles: Mapping[str, str]) -> int:
        """Tell the policy which plain WireGuard peers there are, and what is open for them.

        Returns:
            Whom it concerns.
        """
        if (peers, profiles) == (self._peers, self._peer_profiles):
            return 0
        self._peers, self._peer_profiles = peers, profiles
        old = self.world.snapshot
        seq = old.seq + 1
        affected, restamped = self._users_changed(old.users, seq, ())
        base = replace(old, seq=seq, records=_restamped(old.records, restamped, seq))
        return affected | self._nodes_changed(base, (), (), restamped=restamped)

    def configure(self, config: MapConfig) -> int:
        """Take other relays or DNS; returns whom it concerns.

        Raises:
            InvalidError: the policy's own relays do not go with them; nothing has changed.
        """
        if config == self.configured:
            return 0
        world, old = self.world, self.world.snapshot
        policy = world.policy.policy
        merged = with_policy_relays(config, policy.derp_map if policy is not None else None)
        self.configured = config
        if merged == world.config:
            return 0
        world.fragments.use(merged)
        world.config_seq = world.structure_seq = seq = old.seq + 1
        world.snapshot = replace(old, seq=seq)
        world.log.changed(seq, 0)
        return sum(1 << index for index in old.records)

    def _relays_changed(self, policy: Policy | None, seq: int) -> int:
        """The policy's `derpMap` joins the configured relays; everybody hears of a difference."""
        world = self.world
        config = with_policy_relays(self.configured, policy.derp_map if policy is not None else None)
        if (config.derp_map, config.derp_map_unpinned) == (
            world.config.derp_map,
            world.config.derp_map_unpinned,
        ):
            return 0
        world.fragments.use(config)
        world.config_seq = seq
        return sum(1 << index for index in world.snapshot.records)

    def _differing(self, before: Mapping[int, PeerView]) -> int:
        """The nodes that everyone sees differently than before."""
        world, changed = self.world, 0
        for index, record in world.snapshot.records.items():
            view = world.default_view(record)
            if view is not before[index] and view != before[index]:
                changed |= 1 << index
        return changed

    def _users_changed(
        self, users: Mapping[UserID, User], seq: int, concerned: Collection[UserID]
    ) -> tuple[int, int]:
        """Tell the policy of other users.

        Returns:
            (whom it concerns, the nodes that look different to their peers now: a role may carry attributes).
        """
        facts = tailnet_facts(
            users.values(),
            domain=self.world.config.domain,
            associated_domains=self._associated_domains,
            auto_updates=self._auto_updates,
            declared_groups=self._declared_groups,
            peers=self._peers,
            peer_profiles=self._peer_profiles,
        )
        world = self.world
        records, owners = world.snapshot.records, world.snapshot.owner_bits
        before: dict[int, PeerView] | None = None
        if any(user_id in owners for user_id in concerned):
            before = {index: world.default_view(record) for index, record in records.items()}
        world.structure_seq = world.special_seq = seq
        affected = world.policy.replace_facts(facts)
        # Users without nodes hardly ever change what others are; comparing is not worth it then.
        restamped = affected if before is None else self._differing(before)
        return affected, restamped

    def _nodes_changed(
        self,
        base: Snapshot,
        puts: Iterable[Node],
        deletes: Iterable[NodeID],
        expired: set[NodeID] | frozenset[NodeID] = frozenset(),
        *,
        restamped: int = 0,
    ) -> int:
        world = self.world
        draft = _Draft(base)
        draft.changed = restamped
        affected = 0
        for node_id in deletes:
            affected |= self._remove(draft, node_id)
        for node in puts:
            affected |= self._put(draft, node, expired=False)
        for node_id in expired:
            record = draft.record(node_id)
            if record is not None and not record.expired:
                affected |= self._put(draft, record.node, expired=True)
        world.snapshot = draft.snapshot()
        world.log.changed(base.seq, draft.changed)
        world.fragments.touch(base.seq, draft.changed | draft.vacated)
        return affected | self._viewers_of(draft.changed)

    def _viewers_of(self, changed: int) -> int:
        """Visibility is symmetric: whom a node sees, sees the node; also when one of them is expired."""
        viewers = changed
        for index in indices(changed):
            viewers |= self.world.policy.peers(self.world.snapshot.records[index].node.id)
        return viewers

    def _remove(self, draft: _Draft, node_id: NodeID) -> int:
        index = draft.index_of.get(node_id)
        if index is None:
            return 0
        bit = 1 << index
        self.world.structure_seq = draft.base.seq
        affected = self.world.policy.peers(node_id) | bit
        affected |= self.world.policy.remove(node_id)
        record = draft.forget(index)
        self.world.log.removed(draft.base.seq, index, node_id)
        self.world.fragments.forget(index)
        heappush(self._free, index)
        if record.node.approved_routes:
            self.world.special_seq = draft.base.seq
        return affected

    def _put(self, draft: _Draft, node: Node, *, expired: bool) -> int:
        seq = draft.base.seq
        old = draft.record(node.id)
        if old is None:
            self.world.structure_seq = seq
            index = heappop(self._free) if self._free else self._grow()
            record = NodeRecord(
                node=node,
                index=index,
                full_seq=seq,
                endpoints_seq=seq,
                derp_seq=seq,
                presence_seq=seq,
                expiry_seq=seq,
                self_seq=seq,
            )
            draft.put(record, changed=record.announced)
            if node.approved_routes:
                self.world.special_seq = seq
            return self.world.policy.upsert(node_fact(node, index)) | 1 << index
        # A later expiry, or a new key, brings an expired node back.
        stays = old.expired and (node.expiry, node.node_key) == (old.node.expiry, old.node.node_key)
        record = advance(old, node, expired=expired or stays, seq=seq)
        if record is old:
            return 0
        heard = (
            max(
                record.full_seq,
                record.endpoints_seq,
                record.derp_seq,
                record.presence_seq,
                record.expiry_seq,
            )
            == seq
        )
        draft.put(record, changed=heard and record.announced)
        if record.announced != old.announced:
            self.world.structure_seq = seq
        affected = 1 << record.index if record.self_seq == seq else 0
        if old.announced and not record.announced:
            affected |= self.world.policy.peers(node.id)
        facts = node_fact(node, record.index)
        if facts != node_fact(old.node, record.index):
            # Another owner, tag or address of a viewer may open or close routes of others to it.
            self.world.structure_seq = self.world.special_seq = seq
            affected |= self.world.policy.upsert(facts)
        return affected

    def _grow(self) -> int:
        self._next_index += 1
        return self._next_index - 1


class _Draft:
    """The next snapshot while it is being made; copies only the maps that change."""

    def __init__(self, base: Snapshot) -> None:
        self.base = base
        self.records = dict(base.records)
        self.index_of = base.index_of
        self.by_node_key = base.by_node_key
        self.owner_bits = base.owner_bits
        self.announced = base.announced
        self.changed = 0
        self.vacated = 0
        self._owned = False

    def record(self, node_id: NodeID) -> NodeRecord | None:
        index = self.index_of.get(node_id)
        return None if index is None else self.records[index]

    def put(self, record: NodeRecord, *, changed: bool) -> None:
        node, bit = record.node, 1 << record.index
        old = self.records.get(record.index)
        if old is None or old.node.node_key != node.node_key or shown_user(old.node) != shown_user(node):
            self._own()
            if old is not None:
                del self._by_node_key[old.node.node_key]
                self._disown(old)
            self._index_of[node.id] = record.index
            self._by_node_key[node.node_key] = record.index
            owner = shown_user(node)
            self._owner_bits[owner] = self._owner_bits.get(owner, 0) | bit
        self.records[record.index] = record
        self.announced = self.announced | bit if record.announced else self.announced & ~bit
        if changed:
            self.changed |= bit

    def forget(self, index: int) -> NodeRecord:
        record = self.records.pop(index)
        self._own()
        del self._index_of[record.node.id]
        del self._by_node_key[record.node.node_key]
        self._disown(record)
        self.announced &= ~(1 << index)
        self.changed &= ~(1 << index)
        self.vacated |= 1 << index
        return record

    def snapshot(self) -> Snapshot:
        return replace(
            self.base,
            records=self.records,
            index_of=self.index_of,
            by_node_key=self.by_node_key,
            owner_bits=self.owner_bits,
            announced=self.announced,
        )

    def _own(self) -> None:
        if self._owned:
            return
        self._owned = True
        self.index_of = self._index_of = dict(self.index_of)
        self.by_node_key = self._by_node_key = dict(self.by_node_key)
        self.owner_bits = self._owner_bits = dict(self.owner_bits)

    def _disown(self, record: NodeRecord) -> None:
        owner = shown_user(record.node)
        bits = self._owner_bits[owner] & ~(1 << record.index)
        if bits:
            self._owner_bits[owner] = bits
        else:
            del self._owner_bits[owner]


def _profiles_differ(known: Mapping[UserID, User], puts: Mapping[UserID, User]) -> bool:
    """Whether a user is shown differently from now on. Nobody was told of a new one yet."""
    return any(
        user_profile(user) != user_profile(known[user_id])
        for user_id, user in puts.items()
        if user_id in known
    )


def _restamped(records: Mapping[int, NodeRecord], changed: int, seq: int) -> Mapping[int, NodeRecord]:
    """The records, those in a bit set marked as to be told whole."""
    if not changed:
        return records
    marked = dict(records)
    for index in indices(changed):
        marked[index] = replace(marked[index], full_seq=seq, self_seq=seq)
    return marked


def _changed(old: Mapping[K, V], puts: Mapping[K, V], deletes: Collection[K]) -> Mapping[K, V]:
    if not puts and not deletes:
        return old
    merged = dict(old)
    for key in deletes:
        merged.pop(key, None)
    merged.update(puts)
    return merged
