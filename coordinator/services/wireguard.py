"""Everything of plain WireGuard behind the shells, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.services.wireguard_apply import WireGuardApply
from coordinator.services.wireguard_book import WireGuardBook
from coordinator.services.wireguard_gateways import WireGuardGateways
from coordinator.services.wireguard_keeper import WireGuardKeeper
from coordinator.services.wireguard_observation import WireGuardObservation
from coordinator.services.wireguard_openings import WireGuardOpenings
from coordinator.services.wireguard_peers import WireGuardPeers
from coordinator.services.wireguard_reach import WireGuardReach
from coordinator.services.wireguard_tokens import WireGuardTokens
from coordinator.services.wireguard_wishes import WireGuardWishes
from coordinator.tailnet.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class WireGuard:
    """The parts; put together in `coordinator.wireguard_setup`."""

    clock: Clock
    book: WireGuardBook
    openings: WireGuardOpenings
    reach: WireGuardReach
    wishes: WireGuardWishes
    gateways: WireGuardGateways
    peers: WireGuardPeers
    tokens: WireGuardTokens
    observation: WireGuardObservation
    keeper: WireGuardKeeper
    apply: WireGuardApply
