"""From two looks at a peer to what happened in between: connected, gone, moved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from coordinator.wireguard.model import Gateway, Peer, Seen
from coordinator.wireguard.wire import SeenPeer

CONNECTED = timedelta(seconds=180)
"""A session without a new handshake is over after this. Source: the WireGuard whitepaper, section 6.1."""
TOLERANCE = timedelta(seconds=5)
"""By which a gateway's clock may differ, and a handshake may lie outside of its window."""
MAX_ENDPOINT = 100
MAX_COUNT = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to a peer, for the audit log."""

    verb: str
    peer: Peer
    after: dict[str, Any]

    @classmethod
    def gone(cls, peer: Peer, seen: Seen) -> Step:
        """No new handshake for too long."""
        last = seen.latest_handshake.isoformat() if seen.latest_handshake else None
        return cls(
            "wgpeer.disconnected",
            peer,
            {
                "public_key": seen.public_key,
                "last_handshake": last,
                "received_bytes": seen.received_bytes,
                "sent_bytes": seen.sent_bytes,
            },
        )


def sighting(before: Seen, told: SeenPeer, peer: Peer, now: datetime) -> Seen:
    """What is known after a report. A handshake from the future counts as one of now: clocks differ."""
    handshake = told.latest_handshake
    if handshake is not None:
        handshake = min(handshake, now)
    if before.latest_handshake is not None and (handshake is None or handshake < before.latest_handshake):
        # The interface came up anew, or this is the other of two interfaces.
        return before
    return replace(
        before,
        peer_id=peer.id,
        latest_handshake=handshake,
        endpoint=visible(told.endpoint[:MAX_ENDPOINT]) or before.endpoint,
        received_bytes=_count(told.received_bytes),
        sent_bytes=_count(told.sent_bytes),
        refused_packets=_count(told.refused_packets),
        connected=fresh(handshake, now),
    )


def steps_of(gateway: Gateway, peer: Peer, before: Seen, after: Seen) -> list[Step]:
    """What happened between two sightings."""
    place = {"gateway": gateway.name, "endpoint": after.endpoint, "public_key": after.public_key}
    if after.connected and not before.connected:
        return [Step("wgpeer.connected", peer, place)]
    if before.connected and not after.connected:
        return [Step.gone(peer, after)]
    if after.connected and before.endpoint and after.endpoint != before.endpoint:
        return [Step("wgpeer.moved", peer, {**place, "from": before.endpoint})]
    return []


def fresh(handshake: datetime | None, now: datetime) -> bool:
    """Whether a session of such a handshake is still alive."""
    return handshake is not None and now - handshake < CONNECTED


def visible(text: str) -> str:
    """A gateway's text without what commands a terminal or what no database keeps."""
    return "".join(char if char.isprintable() else "?" for char in text)


def growth(before: int, after: int) -> int:
    """By how much a counter grew; it begins anew with its interface."""
    return after - before if after >= before else after


def _count(value: int) -> int:
    return min(max(value, 0), MAX_COUNT)
