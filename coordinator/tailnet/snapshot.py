"""The published state of the tailnet: immutable, numbered, read by everyone.

A node's record carries the `seq` of its last change of each kind, so that a reader who knows up to which
`seq` it has told a client can say exactly what that client has not heard: differences of states, never merged
messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from coordinator.tailcfg.hostinfo import peer_view
from coordinator.tailcfg.keys import NodeKey
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.preauth_keys import PreAuthKey
from coordinator.tailnet.users import TAGGED_DEVICES_USER_ID, User, UserID

VOLATILE_FIELDS = ("hostinfo", "endpoints", "home_derp", "cap_version", "last_seen", "online", "disco_key")
"""Fields of a Node that change without a transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A node, its dense index, and when what changed last.

    `full_seq`: something a viewer can only be told by a whole Node. The four patchable facts have a seq of
    their own. `self_seq`: something the node itself is told about itself.
    """

    node: Node
    index: int
    expired: bool = False
    expires_soon: bool = False
    """Whether its user was to be warned of the key's expiry."""
    full_seq: int = 0
    endpoints_seq: int = 0
    derp_seq: int = 0
    presence_seq: int = 0
    expiry_seq: int = 0
    self_seq: int = 0

    @property
    def announced(self) -> bool:
        """Whether viewers may hear of the node:

        clients treat a peer without DiscoKey as dead, so it has to have polled once.
        """
        return self.node.disco_key is not None and self.node.approved

    @property
    def secluded(self) -> bool:
        """Whether the node is told of nobody: its key is expired, or the device is not approved."""
        return self.expired or not self.node.approved


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything readers need, at one `seq`."""

    seq: int = 0
    records: Mapping[int, NodeRecord] = field(default_factory=dict)
    """By node index."""
    index_of: Mapping[NodeID, int] = field(default_factory=dict)
    by_node_key: Mapping[NodeKey, int] = field(default_factory=dict)
    users: Mapping[UserID, User] = field(default_factory=dict)
    users_seq: int = 0
    """The last change of any user's name or picture."""
    owner_bits: Mapping[UserID, int] = field(default_factory=dict)
    """Bit set of node indices by the user they are shown under (tagged nodes under the pseudo user)."""
    preauth_keys: Mapping[int, PreAuthKey] = field(default_factory=dict)
    announced: int = 0
    """Bit set of the indices of announced nodes."""

    def nodes(self) -> list[Node]:
        """All nodes, by id."""
        return sorted((record.node for record in self.records.values()), key=lambda node: node.id)

    def record(self, node_id: NodeID) -> NodeRecord | None:
        """A node's record by id."""
        index = self.index_of.get(node_id)
        return None if index is None else self.records[index]

    def record_by_key(self, node_key: NodeKey) -> NodeRecord | None:
        """A node's record by its present NodeKey."""
        index = self.by_node_key.get(node_key)
        return None if index is None else self.records[index]


def advance(
    record: NodeRecord, node: Node, *, expired: bool, seq: int, expires_soon: bool = False
) -> NodeRecord:
    """The record after a change, each kind of difference stamped with `seq`;

    the same object when nothing differs. A warning of the expiry lasts until the expiry is another.
    """
    old = record.node
    expires_soon = expires_soon or (record.expires_soon and node.expiry == old.expiry)
    now, before = (expired, expires_soon), (record.expired, record.expires_soon)
    if node == old and now == before and node.hostinfo is old.hostinfo:
        return record
    flipped = expired != record.expired
    # A patch can neither say DERPRegion 0 nor take an expiry away: those need the whole node.
    moved, rescheduled = node.home_derp != old.home_derp, node.expiry != old.expiry
    whole = (
        flipped
        or _whole_node_differs(old, node)
        or (moved and not node.home_derp)
        or (rescheduled and node.expiry is None)
    )
    return replace(
        record,
        node=node,
        expired=expired,
        expires_soon=expires_soon,
        full_seq=seq if whole else record.full_seq,
        endpoints_seq=seq if node.endpoints != old.endpoints else record.endpoints_seq,
        derp_seq=seq if moved else record.derp_seq,
        presence_seq=seq if node.online != old.online else record.presence_seq,
        expiry_seq=seq if rescheduled else record.expiry_seq,
        self_seq=seq if now != before or _self_differs(old, node) else record.self_seq,
    )


def _whole_node_differs(old: Node, new: Node) -> bool:
    return (
        (old.node_key, old.disco_key, old.given_name, old.user_id, old.tags, old.ipv4, old.ipv6)
        != (new.node_key, new.disco_key, new.given_name, new.user_id, new.tags, new.ipv4, new.ipv6)
        or old.approved_routes != new.approved_routes
        or old.approval != new.approval
        or old.cap_version != new.cap_version
        or (old.hostinfo is not new.hostinfo and peer_view(old.hostinfo) != peer_view(new.hostinfo))
    )


def _self_differs(old: Node, new: Node) -> bool:
    return (old.node_key, old.given_name, old.user_id, old.tags, old.ipv4, old.ipv6, old.expiry) != (
        new.node_key,
        new.given_name,
        new.user_id,
        new.tags,
        new.ipv4,
        new.ipv6,
        new.expiry,
    ) or (old.approved_routes, old.approval) != (new.approved_routes, new.approval)


def shown_user(node: Node) -> UserID:
    """The user a node is shown under on the wire."""
    if node.tags or node.user_id is None:
        return TAGGED_DEVICES_USER_ID
    return node.user_id
