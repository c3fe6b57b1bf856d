"""From what was seen to what the server is told. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from coordinator.gateway.clock import utc
from coordinator.gateway.plan import Key
from coordinator.gateway.rules import Counters, refused
from coordinator.gateway.seen import Seen
from coordinator.gateway.target import Target
from coordinator.wireguard.wire import Knocked, Noticed, Report, SeenPeer


def report(
    *,
    version: str,
    now: datetime,
    keys: Mapping[str, Key],
    target: Target,
    seen: Seen,
    counters: Counters,
    events: tuple[Noticed, ...],
    agent: str = "",
    knocks: tuple[Knocked, ...] = (),
) -> Report:
    """A report of the wished peers that are there; others were events.

    What was refused is counted for a device, and told with the key and interface it was heard of last.
    """
    owners = {(owner.interface, owner.public_key): ident for ident, owner in target.owners.items()}
    peers = []
    for name, wanted in target.peers.items():
        there = seen.wireguard.get(name)
        for key in wanted if there is not None else ():
            peer = there.peers.get(key) if there is not None else None
            if peer is None:
                continue
            ident = owners.get((name, key))
            peers.append(
                SeenPeer(
                    public_key=key,
                    interface=name,
                    endpoint=peer.endpoint,
                    latest_handshake=utc(peer.latest_handshake) if peer.latest_handshake else None,
                    received_bytes=peer.received,
                    sent_bytes=peer.sent,
                    refused_packets=refused(counters, ident) if ident is not None else 0,
                )
            )
    return Report(
        version=version,
        now=now,
        public_keys={key_id: key.public for key_id, key in keys.items()},
        peers=tuple(peers),
        events=events,
        agent=agent,
        knocks=knocks,
    )
