"""Preshared keys that cannot be read, since they were sealed with another Noise key.

Their peers are closed until somebody acts: a tunnel without the agreed preshared key would be less than what
was promised, and nobody would notice. Nothing is overwritten, so the former Noise key brings them back.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from coordinator.tailnet.errors import ConflictError
from coordinator.wireguard.model import Peer, live_peers

log = structlog.get_logger(__name__)

MOST_NAMES = 20
"""Peers a line of the log names; `wireguard peers list --state unreadable` has all of them."""


def require_readable(peer: Peer) -> None:
    """What a device has to know of its peer can be told.

    Raises:
        ConflictError: its preshared key cannot be read; says what to do.
    """
    if peer.newest_key().unreadable:
        raise ConflictError(
            f"the preshared key of peer `{peer.name}` cannot be read: it was sealed with another Noise key. "
            "Start the server with the former `noise.private_key_path`, or give the device a new one: "
            f"`wireguard peers rotate {peer.name} --preshared-key`"
        )


def report_unreadable(peers: Iterable[Peer]) -> list[Peer]:
    """Say at start which living peers are closed for that reason; returns them."""
    found = [peer for peer in live_peers(peers) if any(key.unreadable for key in peer.keys)]
    if found:
        log.error(
            "preshared keys cannot be read, as they were sealed with another Noise key: these WireGuard "
            "peers stay closed until that key is back, or `wireguard peers rotate NAME --preshared-key`",
            peers=len(found),
            names=[peer.name for peer in found[:MOST_NAMES]],
        )
    return found
