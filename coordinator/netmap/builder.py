"""The first message of a map stream: everything the client may know.

It is a join of zstd frames, of which only the first and the first peer are made for this client alone:
`{"Node":…,"ControlTime":…` + static members + filter + SSH + profiles + `,"Peers":[first` + blocks of peers +
`]}`.
"""

from __future__ import annotations

from datetime import datetime

from acl import PeerView
from coordinator.netmap.dns import dns_for
from coordinator.netmap.fragments import BLOCK_BITS, BLOCK_MASK
from coordinator.netmap.notices import expiry_notice
from coordinator.netmap.peers import self_json
from coordinator.netmap.session import SessionState
from coordinator.netmap.user_profiles import owners
from coordinator.netmap.world import World
from coordinator.tailcfg.codec import encode, go_time
from coordinator.tailcfg.framing import END, compress
from coordinator.tailnet.bits import indices
from coordinator.tailnet.snapshot import NodeRecord, shown_user

_END_OF_PEERS = compress(b"]}")


def full_map(
    world: World, viewer: NodeRecord, *, pinning: bool, now: datetime
) -> tuple[list[bytes], SessionState]:
    """Build a full map.

    Args:
        world: What there is to tell.
        viewer: Whom it is told.
        pinning: Whether the client understands certificate pins in the DERP map.
        now: For ControlTime.

    Returns:
        (zstd frames of one message, the state of a session that was sent it).
    """
    fragments, snapshot = world.fragments, world.snapshot
    node_id = viewer.node.id
    visible = world.visible(viewer)
    rules = () if viewer.secluded else world.policy.filter_rules(node_id)
    ssh = () if viewer.secluded else world.policy.ssh_rules(node_id)
    self_view = world.policy.self_view(node_id)
    profiles = tuple(sorted({*owners(snapshot, visible), shown_user(viewer.node)}))

    head = (
        b'{"Node":'
        + self_json(world.config, viewer, self_view)
        + b',"ControlTime":'
        + encode(go_time(now))
        + b',"SSHPolicy":'
        + fragments.ssh(ssh)
        + b',"UserProfiles":'
        + fragments.profiles(snapshot, profiles)
    )
    if viewer.expires_soon:
        head += b"," + expiry_notice(viewer.node, soon=True)
    dns = dns_for(world.config.dns, viewer.node, self_view.cap_map)
    own_dns = dns is not world.config.dns
    if own_dns:
        head += b',"DNSConfig":' + encode(dns)
    static = fragments.static_frame(pinning=pinning, dns=not own_dns)
    views: dict[int, PeerView] = {}
    peers = _peer_frames(world, viewer, visible, views) if visible else [END]
    frames = [compress(head), static, fragments.rules_frame(rules), *peers]
    state = SessionState(
        node_id=node_id,
        index=viewer.index,
        pinning=pinning,
        seq=snapshot.seq,
        sent=visible,
        views=views,
        profiles=frozenset(profiles),
        rules=rules,
        ssh=ssh,
        self_view=self_view,
        special_seq=world.special_seq,
        warned=viewer.expires_soon,
        relays=world.config.relays(pinning=pinning),
        dns=dns,
    )
    return frames, state


def _peer_frames(world: World, viewer: NodeRecord, visible: int, views: dict[int, PeerView]) -> list[bytes]:
    """Frames from `,"Peers":[` to the end; fills `views` with those that depend on the viewer."""
    fragments, records = world.fragments, world.snapshot.records
    special = visible & world.special(viewer)
    single: list[bytes] = []
    for index in indices(special):
        record = records[index]
        view = views[index] = world.view(viewer, record)
        single.append(fragments.peer(record, view))
    common = visible & ~special
    if not single:
        # The first element has no comma before it, so it cannot come from a shared block.
        first = common & -common
        record = records[first.bit_length() - 1]
        single.append(fragments.peer(record, world.default_view(record)))
        common ^= first
    frames = [compress(b',"Peers":[' + b",".join(single))]
    number = 0
    while common:
        members = common & BLOCK_MASK
        if members:
            frames.append(fragments.block(number, members, records, world.default_view))
        common >>= BLOCK_BITS
        number += 1
    frames.append(_END_OF_PEERS)
    return frames


def tombstone(world: World, *, node_key: str, machine_key: str, pinning: bool, now: datetime) -> list[bytes]:
    """A full map that tells a client its node is gone, as the zstd frames of one message.

    A 404 would leave a client Running with its old peers for ever; a self node that expired long ago, for
    exactly the key it asked with, sends it to NeedsLogin at once. The DERP map must be there, or the client
    has no relay after its next login. Unknown and foreign keys get the same answer, so it tells nobody
    anything.
    """
    document = {
        "ID": 1,
        "StableID": "deleted",
        "Name": world.config.fqdn("deleted"),
        "User": 1,
        "Key": node_key,
        "Machine": machine_key,
        "KeyExpiry": "2000-01-01T00:00:00Z",
        "Expired": True,
        "Addresses": [],
        "AllowedIPs": [],
        "Hostinfo": {},
        "MachineAuthorized": True,
    }
    profile = {"ID": 1, "LoginName": "deleted", "DisplayName": "deleted"}
    head = (
        b'{"Node":'
        + encode(document)
        + b',"ControlTime":'
        + encode(go_time(now))
        + b',"UserProfiles":'
        + encode([profile])
        + b',"SSHPolicy":{"rules":[]},"PacketFilters":{"base":[]}'
    )
    return [compress(head), world.fragments.static_frame(pinning=pinning), END]
