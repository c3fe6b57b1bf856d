"""Everything there is to tell, at one moment.

Replaced as a whole between awaits by `services.tailnet`; builders only read it.
"""

from __future__ import annotations

from dataclasses import dataclass

from acl import PeerView, PolicyIndex
from coordinator.netmap.config import MapConfig
from coordinator.netmap.fragments import Fragments
from coordinator.tailnet.change_log import ChangeLog
from coordinator.tailnet.snapshot import NodeRecord, Snapshot


@dataclass(slots=True, kw_only=True)
class World:
    """The newest snapshot with what derives from it.

    `structure_seq` is the last `seq` at which anything but volatile facts of nodes changed: who sees whom,
    filters, users, the policy. `special_seq` is the last at which routes, the policy, or what it knows of a
    node changed, so that views which differ by viewer may differ from what was told. `config_seq` is the last
    at which relays or DNS changed.
    """

    snapshot: Snapshot
    policy: PolicyIndex
    log: ChangeLog
    fragments: Fragments
    structure_seq: int = 0
    special_seq: int = 0
    config_seq: int = 0

    @property
    def config(self) -> MapConfig:
        """Names, relays, DNS."""
        return self.fragments.config

    def visible(self, viewer: NodeRecord) -> int:
        """The peers whose keys this node may have, as a bit set.

        A node that is expired or not approved sees nobody, and nobody hears of a node that never polled.
        """
        if viewer.secluded:
            return 0
        return self.policy.peers(viewer.node.id) & self.snapshot.announced

    def special(self, viewer: NodeRecord) -> int:
        """The peers that may look different to this viewer than to others."""
        if self.policy.viewer_is_special(viewer.node.id):
            return -1
        return self.policy.has_special_view()

    def default_view(self, record: NodeRecord) -> PeerView:
        """A peer as everyone sees it."""
        return self.policy.default_view(record.node.id)

    def view(self, viewer: NodeRecord, peer: NodeRecord) -> PeerView:
        """A peer as this viewer sees it."""
        return self.policy.peer_view(viewer.node.id, peer.node.id)
