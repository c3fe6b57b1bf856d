"""The wish of a gateway: what it should be at a moment, as it is told.

Who may be on it, since when and until when is handed in; here it becomes keys, addresses and rules. The
version is a hash of everything but the server's clock, so that an unchanged wish is not sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

import msgspec

from coordinator.wireguard.model import Gateway, Peer
from coordinator.wireguard.pools import host_prefix, with_length
from coordinator.wireguard.wire import Rule, Wish, WishedInterface, WishedPeer

VERSION_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """From when to when a peer may be used; `not_after` None: no end is known."""

    not_before: datetime
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A peer that may be used now, and what it may reach."""

    peer: Peer
    opening: Opening
    rules: tuple[Rule, ...] = ()
    inbound: tuple[Rule, ...] = ()


def wish(
    gateway: Gateway, wished: Iterable[WishedPeer], now: datetime, tailnet: tuple[str, ...] = ()
) -> Wish:
    """The whole wish of a gateway; `tailnet` are the networks of the tailnet."""
    made = Wish(
        version="",
        gateway=gateway.name,
        now=now,
        interfaces=interfaces(gateway, now),
        peers=tuple(wished),
        masquerade=gateway.masquerade,
        unmasked=tailnet if gateway.tailnet else (),
    )
    return msgspec.structs.replace(made, version=_version(made))


def interfaces(gateway: Gateway, now: datetime) -> tuple[WishedInterface, ...]:
    """One interface for each key that is valid."""
    addresses = tuple(with_own_length(gateway))
    return tuple(
        WishedInterface(
            name=key.interface,
            key_id=key.key_id,
            listen_port=key.listen_port,
            addresses=addresses,
            mtu=gateway.mtu,
        )
        for key in gateway.keys
        if key.until is None or now < key.until
    )


def with_own_length(gateway: Gateway) -> list[str]:
    """The gateway's own addresses with the lengths of the networks they are in."""
    found = []
    for address in gateway.addresses:
        lengths = {with_length(address, pool) for pool in gateway.pools} - {host_prefix(address)}
        found.append(min(lengths, default=host_prefix(address)))
    return found


def wished_peers(admitted: Admitted, now: datetime, keepalive: int = 0) -> tuple[WishedPeer, ...]:
    """The keys of a peer that count now, oldest first: while a key is replaced both share the addresses.

    A key whose preshared key cannot be read is left out: without it the tunnel would be less than was agreed.

    `keepalive` is not for the gateway's side by default: the device behind the NAT keeps the way open.
    """
    peer, opening = admitted.peer, admitted.opening
    allowed = tuple(host_prefix(address) for address in peer.addresses)
    return tuple(
        WishedPeer(
            public_key=key.public_key,
            device=str(peer.id),
            name=peer.name,
            allowed_ips=allowed,
            not_before=opening.not_before,
            not_after=_earlier(opening.not_after, key.until),
            preshared_key=key.preshared_key,
            keepalive_seconds=keepalive,
            rules=admitted.rules,
            inbound=admitted.inbound,
        )
        for key in peer.valid_keys(now)
        if not key.unreadable
    )


def boundaries(admitted: Iterable[Admitted], gateways: Sequence[Gateway], now: datetime) -> datetime | None:
    """The next moment at which time alone changes what was made; None: never."""
    moments = [key.until for gateway in gateways for key in gateway.keys]
    for each in admitted:
        moments += [each.opening.not_before, each.opening.not_after, *(key.until for key in each.peer.keys)]
    return min((moment for moment in moments if moment is not None and moment > now), default=None)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)


def _version(made: Wish) -> str:
    content = msgspec.structs.replace(made, now=datetime.min)
    return blake2b(msgspec.json.encode(content), digest_size=VERSION_BYTES).hexdigest()
