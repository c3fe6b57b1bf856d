"""Encoded pieces of map messages, made once per change and shared by all viewers.

Every cache checks the identity of the immutable value it was made from, so a stale piece cannot be served.
Sizes are bounded; the oldest entry goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from acl import FilterRule, PeerView, SSHRule
from coordinator.netmap.config import MapConfig
from coordinator.netmap.packet_filter import filters_json
from coordinator.netmap.peers import patch_json, peer_json
from coordinator.netmap.ssh import ssh_policy_json
from coordinator.netmap.user_profiles import profiles_json
from coordinator.tailcfg.codec import encode
from coordinator.tailcfg.framing import compress
from coordinator.tailnet.bits import indices
from coordinator.tailnet.snapshot import NodeRecord, Snapshot
from coordinator.tailnet.users import UserID

BLOCK_BITS = 64
"""Peers compressed together:

large enough to compress well (about 5:1), small enough that one changed peer spoils little.
"""
BLOCK_MASK = (1 << BLOCK_BITS) - 1

MAX_BLOCKS = 2_048
"""Compressed blocks kept, about 5 kB each."""
MAX_SHARED = 1_024
"""Whole delta messages kept; only those of the newest snapshot are ever asked for."""
MAX_RULE_SETS = 4_096
"""Encoded packet filters kept; one per equivalence class of nodes."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """A dict that forgets its oldest entry when full, and counts how it does."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: dict[K, V] = {}
        self.hits = 0
        self.misses = 0

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The remembered value, or a new one."""
        value = self._entries.get(key)
        if value is not None:
            self.hits += 1
            return value
        self.misses += 1
        value = make()
        if len(self._entries) >= self._limit:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = value
        return value

    def clear(self) -> None:
        """Forget everything; the counts stay."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


class Fragments:
    """All shared pieces of one server."""

    def __init__(self, config: MapConfig) -> None:
        self.config = config
        self._peers: dict[int, tuple[NodeRecord, dict[PeerView, bytes]]] = {}
        self._patches: dict[int, tuple[NodeRecord, dict[int, bytes]]] = {}
        self._block_seq: dict[int, int] = {}
        self.blocks: BoundedCache[tuple[int, int, int], bytes] = BoundedCache(MAX_BLOCKS)
        self._rules: BoundedCache[Sequence[FilterRule], bytes] = BoundedCache(MAX_RULE_SETS)
        self._rule_frames: BoundedCache[Sequence[FilterRule], bytes] = BoundedCache(MAX_RULE_SETS)
        self._ssh: BoundedCache[Sequence[SSHRule], bytes] = BoundedCache(MAX_RULE_SETS)
        self._profiles: BoundedCache[tuple[int, tuple[UserID, ...]], bytes] = BoundedCache(MAX_SHARED)
        self._static: dict[tuple[bool, bool], bytes] = {}
        self.deltas: BoundedCache[Hashable, bytes] = BoundedCache(MAX_SHARED)
        self._deltas_seq = 0

    def use(self, config: MapConfig) -> None:
        """Take another configuration; whoever calls this makes every session compare."""
        self.config = config
        self._static.clear()
        self.deltas.clear()

    def touch(self, seq: int, changed: int) -> None:
        """Peers in a bit set changed at `seq` (or left): blocks that hold them are made anew."""
        block = 0
        while changed:
            if changed & BLOCK_MASK:
                self._block_seq[block] = seq
            changed >>= BLOCK_BITS
            block += 1
        self.deltas.clear()

    def policy_changed(self) -> None:
        """Views and filters may all differ: keep nothing that was made from them."""
        self.blocks.clear()
        self.deltas.clear()

    def forget(self, index: int) -> None:
        """The node with this index left."""
        self._peers.pop(index, None)
        self._patches.pop(index, None)

    def peer(self, record: NodeRecord, view: PeerView) -> bytes:
        """A whole Node as JSON."""
        entry = self._peers.get(record.index)
        if entry is None or entry[0] is not record:
            entry = (record, {})
            self._peers[record.index] = entry
        made = entry[1].get(view)
        if made is None:
            made = entry[1][view] = peer_json(self.config, record, view)
        return made

    def patch(self, record: NodeRecord, mask: int) -> bytes:
        """A PeerChange as JSON."""
        entry = self._patches.get(record.index)
        if entry is None or entry[0] is not record:
            entry = (record, {})
            self._patches[record.index] = entry
        made = entry[1].get(mask)
        if made is None:
            made = entry[1][mask] = patch_json(record, mask)
        return made

    def block(
        self,
        number: int,
        members: int,
        records: Mapping[int, NodeRecord],
        view: Callable[[NodeRecord], PeerView],
    ) -> bytes:
        """A zstd frame of the members of one block, each Node with a comma before it.

        Only for peers that look the same to every viewer.
        """

        def make() -> bytes:
            base = number * BLOCK_BITS
            parts = []
            for offset in indices(members):
                record = records[base + offset]
                parts.append(self.peer(record, view(record)))
            return compress(b"," + b",".join(parts))

        return self.blocks.get((number, members, self._block_seq.get(number, 0)), make)

    def rules(self, rules: Sequence[FilterRule]) -> bytes:
        """The value of `PacketFilters`."""
        return self._rules.get(rules, lambda: filters_json(rules))

    def rules_frame(self, rules: Sequence[FilterRule]) -> bytes:
        """`,"PacketFilters":…` as a zstd frame."""
        return self._rule_frames.get(rules, lambda: compress(b',"PacketFilters":' + self.rules(rules)))

    def ssh(self, rules: Sequence[SSHRule]) -> bytes:
        """The value of `SSHPolicy`."""
        return self._ssh.get(rules, lambda: ssh_policy_json(rules))

    def profiles(self, snapshot: Snapshot, user_ids: tuple[UserID, ...]) -> bytes:
        """The value of `UserProfiles`."""
        key = (snapshot.users_seq, user_ids)
        return self._profiles.get(key, lambda: profiles_json(snapshot, user_ids))

    def static_frame(self, *, pinning: bool, dns: bool = True) -> bytes:
        """DERP map and what else every first message carries, as a zstd frame.

        `dns`: with the DNSConfig of nodes that have none of their own.
        """
        made = self._static.get((pinning, dns))
        if made is None:
            members = static_members(self.config, pinning=pinning)
            if dns:
                members["DNSConfig"] = self.config.dns
            made = self._static[pinning, dns] = compress(b"," + _members(members))
        return made


def static_members(config: MapConfig, *, pinning: bool) -> dict[str, Any]:
    """The members of a full map that depend on nothing but configuration and client version."""
    members: dict[str, Any] = {
        "DERPMap": config.relays(pinning=pinning),
        "Domain": config.domain,
        "CollectServices": False,
        "Debug": {"DisableLogTail": True} if config.disable_logtail else {},
    }
    if config.dial_plan:
        members["ControlDialPlan"] = {
            "Candidates": [
                {
                    "IP": candidate.ip,
                    "DialStartDelaySec": candidate.start_delay,
                    "DialTimeoutSec": candidate.timeout,
                    "Priority": candidate.priority,
                }
                for candidate in config.dial_plan
            ]
        }
    return members


def _members(members: Mapping[str, Any]) -> bytes:
    return b",".join(encode(name) + b":" + encode(value) for name, value in members.items())
