"""What one client has been told on its present map stream.

Frozen: a new state is proposed together with a message, and takes effect only after the message was handed to
the stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from acl import FilterRule, PeerView, SelfView, SSHRule
from coordinator.tailcfg.derp_map import DERPMap
from coordinator.tailcfg.dns_config import DNSConfig
from coordinator.tailnet.nodes import NodeID
from coordinator.tailnet.users import UserID


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """The client's knowledge at snapshot `seq`.

    `sent` is the bit set of peers it has; `views` holds what it was told of those whose routes or
    capabilities depend on the viewer.
    """

    node_id: NodeID
    index: int
    pinning: bool
    """Whether the client understands certificate pins in the DERP map."""
    seq: int
    sent: int
    views: Mapping[int, PeerView] = field(default_factory=dict)
    profiles: frozenset[UserID] = frozenset()
    rules: Sequence[FilterRule] = ()
    ssh: Sequence[SSHRule] = ()
    self_view: SelfView | None = None
    special_seq: int = 0
    warned: bool = False
    """Whether the client shows that its key expires soon."""
    relays: DERPMap | None = None
    dns: DNSConfig | None = None
