"""The keys of plain WireGuard for the inventory: those of devices, and those of gateways."""

from __future__ import annotations

from datetime import datetime

from coordinator.services.tailnet import Tailnet
from coordinator.services.wireguard_book import WireGuardBook
from coordinator.services.wireguard_observation import WireGuardObservation
from coordinator.services.wireguard_openings import OpenNow, WireGuardOpenings
from coordinator.tailnet.inventory import InventoryRow, KeyState, OwnerKind
from coordinator.tailnet.users import UserID
from coordinator.wireguard.model import Gateway, Peer, PeerKey, live_peers


class WireGuardInventory:
    """One row a key that may be used, now or when a window opens."""

    def __init__(
        self,
        tailnet: Tailnet,
        book: WireGuardBook,
        openings: WireGuardOpenings,
        observation: WireGuardObservation,
    ) -> None:
        self._tailnet = tailnet
        self._book = book
        self._openings = openings
        self._observation = observation

    def inventory(self, now: datetime) -> list[InventoryRow]:
        """All keys of living peers and of gateways; a key that is being replaced has a row of its own."""
        open_now = self._openings.open_now(now)
        rows = []
        for peer in live_peers(self._book.peers.values()):
            for number, key in enumerate(reversed(peer.keys)):
                rows.append(self._of_peer(peer, key, number, now, open_now))
        for gateway in self._book.gateways.values():
            rows += self._of_gateway(gateway, now)
        return rows

    def _of_peer(
        self, peer: Peer, key: PeerKey, number: int, now: datetime, open_now: OpenNow
    ) -> InventoryRow:
        seen = self._observation.seen(key.public_key)
        opening = self._openings.opening(peer, now, open_now)
        owner_kind, owner = self._owner(peer)
        ends = [moment for moment in (key.until, peer.until) if moment is not None]
        windowed = peer.basis != "standing"
        if windowed and opening is not None and opening.not_after is not None:
            ends.append(opening.not_after)
        state: KeyState = "valid" if key.valid(now) else "ended"
        access = (f"{peer.profile}",) if windowed and opening is not None else ()
        return InventoryRow(
            kind="wireguard",
            id=peer.name if number == 0 else f"{peer.name}, former key {number}",
            name=peer.name,
            key=key.public_key,
            owner_kind=owner_kind,
            owner=owner,
            reason=_reason(peer),
            access=access,
            addresses=peer.addresses,
            state=state,
            online=seen is not None and seen.connected,
            since=peer.created_at,
            key_since=key.since,
            # What is closed now opens nothing: it has ended until somebody approves again.
            until=now if windowed and opening is None else min(ends, default=None),
            last_seen=None if seen is None else seen.latest_handshake,
        )

    def _of_gateway(self, gateway: Gateway, now: datetime) -> list[InventoryRow]:
        state = self._observation.gateway(gateway.id)
        return [
            InventoryRow(
                kind="wireguard",
                id=f"gateway {gateway.name}, {key.key_id}",
                name=gateway.name,
                key=key.public_key,
                owner_kind="device",
                owner="gateway",
                reason=f"gateway for {', '.join(gateway.profiles) or 'all profiles'}",
                addresses=gateway.addresses,
                state="valid" if key.until is None or now < key.until else "ended",
                online=state.last_report is not None,
                since=gateway.created_at,
                key_since=key.since,
                until=key.until,
                last_seen=state.last_report,
            )
            for key in gateway.keys
            if key.public_key
        ]

    def _owner(self, peer: Peer) -> tuple[OwnerKind, str]:
        if peer.user_id is None:
            return "service", peer.service
        user = self._tailnet.snapshot.users.get(UserID(peer.user_id))
        return ("nobody", "") if user is None else ("person", user.login)


def _reason(peer: Peer) -> str:
    """Why the peer exists."""
    said = f": {peer.reason}" if peer.reason else ""
    match peer.basis:
        case "profile":
            return f"windows of {peer.profile}{said}"
        case "request":
            return f"access request {peer.access_id}{said}"
        case "standing":
            return f"by {peer.created_by}{said}"
