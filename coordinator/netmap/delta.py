"""What a client has not heard yet: the difference of two states.

removed = sent - visible; new = visible - sent; changed = (changed since the session's seq) and sent. Nothing
is queued and nothing is merged, so a slow reader skips states. Messages that are the same for many viewers
are made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from acl import FilterRule, PeerView, SelfView, SSHRule
from coordinator.netmap.dns import dns_for
from coordinator.netmap.notices import expiry_notice
from coordinator.netmap.peers import patch_mask, self_json
from coordinator.netmap.session import SessionState
from coordinator.netmap.user_profiles import owners
from coordinator.netmap.world import World
from coordinator.tailcfg.codec import encode
from coordinator.tailcfg.derp_map import DERPMap
from coordinator.tailcfg.dns_config import DNSConfig
from coordinator.tailcfg.framing import END, compress, frame, message
from coordinator.tailnet.bits import from_indices, indices
from coordinator.tailnet.nodes import NodeID
from coordinator.tailnet.snapshot import NodeRecord, shown_user
from coordinator.tailnet.users import UserID


class SessionLostError(Exception):
    """The session is too old, or its node is gone: end the stream, the client comes back for a full map."""


@dataclass(slots=True)
class _Peers:
    """What differs about peers: ids that go, indices told whole, and (index, mask) pairs of patches."""

    removed: list[NodeID]
    full: list[int]
    patches: list[tuple[int, int]]
    views: dict[int, PeerView]


@dataclass(slots=True, kw_only=True)
class _Difference:
    """Everything one message has to say; None means "as told"."""

    peers: _Peers
    profiles: tuple[UserID, ...]
    self_view: SelfView | None
    rules: Sequence[FilterRule] | None
    ssh: Sequence[SSHRule] | None
    relays: DERPMap | None
    dns: DNSConfig | None
    warned: bool | None

    @property
    def shared(self) -> bool:
        """Whether it says anything that others are told alike."""
        return bool(
            self.peers.removed
            or self.peers.full
            or self.peers.patches
            or self.profiles
            or self.ssh is not None
            or self.relays is not None
        )

    def __bool__(self) -> bool:
        own = (self.self_view, self.rules, self.dns, self.warned)
        return self.shared or any(part is not None for part in own)


def next_message(world: World, state: SessionState) -> tuple[bytes | None, SessionState]:
    """The next message for a session, framed, and the session's state once it was sent.

    Returns:
        (None, state) when there is nothing to tell; the state still has to be kept, its `seq` moved on.

    Raises:
        SessionLostError: no difference can be told any more.
    """
    snapshot = world.snapshot
    viewer = snapshot.records.get(state.index)
    if viewer is None or viewer.node.id != state.node_id:
        raise SessionLostError("the node is gone")
    if state.seq >= world.structure_seq and viewer.self_seq <= state.seq:
        return _volatile_message(world, state)
    difference, new_state = _compare(world, state, viewer)
    if not difference:
        return None, new_state
    return _encode(world, state, viewer, difference), new_state


def _volatile_message(world: World, state: SessionState) -> tuple[bytes | None, SessionState]:
    """The short way, and the usual one: only endpoints, relays, presence or host facts of peers changed."""
    changed = world.log.since(state.seq)
    if changed is None:
        raise SessionLostError("the session is older than the change log")
    new_state = replace(state, seq=world.snapshot.seq)
    heard = changed & state.sent
    if not heard:
        return None, new_state
    full, patches = _changed_peers(world, state, heard)
    peers = _Peers([], full, patches, {index: state.views[index] for index in full if index in state.views})

    def make() -> bytes:
        return message(b"{" + b",".join(_peer_parts(world, peers)) + b"}")

    if not full and not patches:
        return None, new_state
    if peers.views:
        return make(), new_state
    return world.fragments.deltas.get((tuple(full), tuple(patches)), make), new_state


def _changed_peers(world: World, state: SessionState, heard: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Of peers the client has: those to be told whole, and the patches."""
    full: list[int] = []
    patches: list[tuple[int, int]] = []
    for index in indices(heard):
        record = world.snapshot.records[index]
        if record.full_seq > state.seq:
            full.append(index)
        else:
            mask = patch_mask(record, state.seq)
            if mask:
                patches.append((index, mask))
    return full, patches


def _compare(world: World, state: SessionState, viewer: NodeRecord) -> tuple[_Difference, SessionState]:
    snapshot = world.snapshot
    changed = world.log.since(state.seq)
    if changed is None:
        raise SessionLostError("the session is older than the change log")
    visible = world.visible(viewer)
    peers = _compare_peers(world, state, viewer, visible, changed)
    rules = () if viewer.secluded else world.policy.filter_rules(state.node_id)
    ssh = () if viewer.secluded else world.policy.ssh_rules(state.node_id)
    self_view = world.policy.self_view(state.node_id)
    tell_self = viewer.self_seq > state.seq or self_view != state.self_view
    known = state.profiles if snapshot.users_seq <= state.seq else frozenset()
    profiles: tuple[UserID, ...] = ()
    if peers.full or tell_self or not known:
        shown = {shown_user(viewer.node), *owners(snapshot, visible)}
        profiles = tuple(sorted(shown - known))
    relays, dns = state.relays, state.dns
    if world.config_seq > state.seq:
        relays = world.config.relays(pinning=state.pinning)
    if world.config_seq > state.seq or tell_self:
        dns = dns_for(world.config.dns, viewer.node, self_view.cap_map)
    difference = _Difference(
        peers=peers,
        profiles=profiles,
        self_view=self_view if tell_self else None,
        rules=rules if rules is not state.rules and rules != state.rules else None,
        ssh=ssh if ssh is not state.ssh and ssh != state.ssh else None,
        relays=relays if relays is not state.relays and relays != state.relays else None,
        dns=dns if dns is not state.dns and dns != state.dns else None,
        warned=viewer.expires_soon if viewer.expires_soon != state.warned else None,
    )
    new_state = replace(
        state,
        seq=snapshot.seq,
        sent=visible,
        views=peers.views,
        profiles=known.union(profiles),
        rules=rules,
        ssh=ssh,
        self_view=self_view,
        special_seq=world.special_seq,
        warned=viewer.expires_soon,
        relays=relays,
        dns=dns,
    )
    return difference, new_state


def _encode(world: World, state: SessionState, viewer: NodeRecord, difference: _Difference) -> bytes:
    """The message, framed: what many viewers are told alike is encoded and compressed once for them all.

    It is a join of zstd frames: the shared beginning, the packet filter, and what only this viewer is told.
    """
    fragments, rules = world.fragments, difference.rules
    key = (
        tuple(difference.peers.removed),
        tuple(difference.peers.full),
        tuple(difference.peers.patches),
        difference.profiles,
        difference.ssh,
        difference.relays is not None and (world.config_seq, state.pinning),
    )
    own: list[bytes] = []
    if difference.self_view is not None:
        own.append(b'"Node":' + self_json(world.config, viewer, difference.self_view))
    if difference.dns is not None:
        own.append(b'"DNSConfig":' + encode(difference.dns))
    if difference.warned is not None:
        own.append(expiry_notice(viewer.node, soon=difference.warned))
    if rules is not None and not own and not difference.shared:
        # Under a policy that names nobody, all nodes have one filter.
        return fragments.deltas.get(
            ("filter", rules), lambda: message(b'{"PacketFilters":' + fragments.rules(rules) + b"}")
        )
    if not difference.shared or difference.peers.views:
        # Nothing, or hardly anything, that others are told alike.
        own += _shared_parts(world, difference)
        if rules is not None:
            own.append(b'"PacketFilters":' + fragments.rules(rules))
        return message(b"{" + b",".join(own) + b"}")
    if rules is None and not own:
        return fragments.deltas.get(
            key, lambda: message(b"{" + b",".join(_shared_parts(world, difference)) + b"}")
        )
    frames = [
        fragments.deltas.get(
            (*key, "begin"), lambda: compress(b"{" + b",".join(_shared_parts(world, difference)))
        )
    ]
    if rules is not None:
        frames.append(fragments.rules_frame(rules))
    frames.append(compress(b",".join((b"", *own)) + b"}") if own else END)
    return frame(frames)


def _shared_parts(world: World, difference: _Difference) -> list[bytes]:
    fragments = world.fragments
    parts = _peer_parts(world, difference.peers)
    if difference.profiles:
        parts.append(b'"UserProfiles":' + fragments.profiles(world.snapshot, difference.profiles))
        # Clients from 1.100 on show users they learn of by such a message as bare numbers, unless something
        # in it makes them build their whole netmap anew; an unchanged Domain does, and changes nothing else.
        parts.append(b'"Domain":' + encode(world.config.domain))
    if difference.ssh is not None:
        parts.append(b'"SSHPolicy":' + fragments.ssh(difference.ssh))
    if difference.relays is not None:
        parts.append(b'"DERPMap":' + encode(difference.relays))
    return parts


def _peer_parts(world: World, peers: _Peers) -> list[bytes]:
    parts: list[bytes] = []
    if peers.removed:
        parts.append(b'"PeersRemoved":[' + ",".join(map(str, peers.removed)).encode() + b"]")
    if peers.full:
        parts.append(b'"PeersChanged":[' + b",".join(_full(world, peers)) + b"]")
    if peers.patches:
        records = world.snapshot.records
        patches = [world.fragments.patch(records[index], mask) for index, mask in peers.patches]
        parts.append(b'"PeersChangedPatch":[' + b",".join(patches) + b"]")
    return parts


def _compare_peers(
    world: World, state: SessionState, viewer: NodeRecord, visible: int, changed: int
) -> _Peers:
    records = world.snapshot.records
    sent = state.sent
    removed: list[NodeID] = []
    gone = sent & ~visible
    for removal in world.log.removals_since(state.seq):
        bit = 1 << removal.index
        if sent & bit:
            # Only the first holder since the session's seq is the one the client knows.
            removed.append(removal.node_id)
            sent &= ~bit
            gone &= ~bit
    removed += [records[index].node.id for index in indices(gone)]

    kept = visible & sent
    changed_full, patches = _changed_peers(world, state, kept & changed)
    full = indices(visible & ~sent) + changed_full
    views = _compare_views(world, state, viewer, visible, kept, full)
    return _Peers(sorted(removed), sorted(full), patches, views)


def _compare_views(
    world: World, state: SessionState, viewer: NodeRecord, visible: int, kept: int, full: list[int]
) -> dict[int, PeerView]:
    """Views of the special peers now; those that differ from what was told join `full`."""
    special = visible & world.special(viewer)
    if not special and not state.views:
        return {}
    if world.special_seq <= state.special_seq and not full:
        return dict(state.views)
    views = {index: world.view(viewer, world.snapshot.records[index]) for index in indices(special)}
    known = set(full)
    for index in indices(kept & (special | from_indices(state.views))):
        if index not in known and views.get(index) != state.views.get(index):
            full.append(index)
    return views


def _full(world: World, peers: _Peers) -> list[bytes]:
    encoded = []
    for index in peers.full:
        record = world.snapshot.records[index]
        view = peers.views.get(index) or world.default_view(record)
        encoded.append(world.fragments.peer(record, view))
    return encoded
