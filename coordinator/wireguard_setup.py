"""Plain WireGuard put together: services on the tailnet, started with it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack

from coordinator.services.access import AccessService
from coordinator.services.inventory import InventoryService
from coordinator.services.policy import PolicyService
from coordinator.services.tailnet import Tailnet
from coordinator.services.users import UserService
from coordinator.services.wireguard import WireGuard
from coordinator.services.wireguard_alerts import WireGuardAlerts
from coordinator.services.wireguard_apply import WireGuardApply
from coordinator.services.wireguard_book import WireGuardBook
from coordinator.services.wireguard_gateways import WireGuardGateways
from coordinator.services.wireguard_inventory import WireGuardInventory
from coordinator.services.wireguard_keeper import KeeperRules, WireGuardKeeper
from coordinator.services.wireguard_observation import WireGuardObservation
from coordinator.services.wireguard_openings import WireGuardOpenings
from coordinator.services.wireguard_peers import PeerRules, WireGuardPeers
from coordinator.services.wireguard_preshared import report_unreadable
from coordinator.services.wireguard_reach import WireGuardReach
from coordinator.services.wireguard_tokens import WireGuardTokens
from coordinator.services.wireguard_wishes import WireGuardWishes
from coordinator.settings.model import Settings


def start_wireguard(
    stack: AsyncExitStack,
    settings: Settings,
    tailnet: Tailnet,
    policy: PolicyService,
    access: AccessService,
    book: WireGuardBook,
    inventory: InventoryService,
    on_duty: Callable[[], bool],
    *,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> WireGuard:
    """Build and start it; the stack stops it.

    Args:
        stack: Takes what has to be stopped.
        settings: As loaded.
        tailnet: The writer, started.
        policy: For profiles.
        access: For windows.
        book, inventory: All records; gets one more kind of keys.
        on_duty, random_bytes: Whether this instance does what only one shall do; so many random bytes.
    """
    chosen = settings.wireguard
    report_unreadable(book.peers.values())
    openings = WireGuardOpenings(tailnet, access)
    taken = tuple(each for each in (settings.prefix_v4, settings.prefix_v6) if each is not None)
    reach = WireGuardReach(policy, tailnet, book, tuple(map(str, taken)))
    wishes = WireGuardWishes(tailnet, book, openings, reach)
    alerts = WireGuardAlerts(tailnet)
    observation = WireGuardObservation(tailnet, book, wishes, alerts)
    keeping = KeeperRules(
        unused_after=chosen.unused_after,
        stale_after=chosen.stale_after,
        key_age=chosen.key_age,
        keep_ended=chosen.keep_ended,
    )
    keeper = WireGuardKeeper(tailnet, book, openings, observation, alerts, keeping, on_duty)
    access.windows.on_refresh(wishes.poke)
    for part in (wishes, keeper):
        part.start()
        stack.push_async_callback(part.close)
    gateways = WireGuardGateways(tailnet, book, random_bytes, taken)
    limits = PeerRules(address_rest=chosen.address_rest, peers_per_user=chosen.peers_per_user)
    peers = WireGuardPeers(tailnet, book, access, openings, reach, limits, random_bytes)
    inventory.add(WireGuardInventory(tailnet, book, openings, observation))
    return WireGuard(
        clock=tailnet.clock,
        book=book,
        openings=openings,
        reach=reach,
        wishes=wishes,
        gateways=gateways,
        peers=peers,
        tokens=WireGuardTokens(tailnet, book, peers.require_offered, random_bytes),
        observation=observation,
        keeper=keeper,
        apply=WireGuardApply(tailnet, policy, gateways, peers, UserService(tailnet), random_bytes),
    )
