"""What should be there at this moment: of a checked wish, the peers whose windows are open. Pure.

A device is a machine with its addresses; it has one key, or two while its key is being rotated. On each
interface the addresses belong to the key with the newest handshake there, and packets to the device leave
through the interface where it was heard last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_interface, ip_network

from coordinator.gateway.checked import Network, Wrong, shown
from coordinator.gateway.clock import Time
from coordinator.gateway.seen import Wireguard
from coordinator.wireguard.wire import Rule, Wish, WishedInterface, WishedPeer

_HOSTS = ("/32", "/128")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What a key on an interface should have."""

    preshared_key: str = field(default="", repr=False)
    allowed_ips: frozenset[str] = frozenset()
    keepalive: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What packet rules are made of: who it is, by its networks, and what it may."""

    ident: str
    """16 hexadecimal digits of a hash: part of names of chains, which have their own alphabet."""
    name: str
    networks: tuple[str, ...]
    rules: tuple[Rule, ...]
    inbound: tuple[Rule, ...]
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Where a device was heard last."""

    interface: str
    public_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The whole of it. `peers` is by interface and key, `devices` and `owners` by `Device.ident`."""

    interfaces: tuple[WishedInterface, ...] = ()
    peers: Mapping[str, Mapping[str, Peer]] = field(default_factory=dict)
    devices: Mapping[str, Device] = field(default_factory=dict)
    owners: Mapping[str, Owner] = field(default_factory=dict)
    routes: frozenset[tuple[str, str]] = frozenset()
    masquerade: bool = True
    unmasked: tuple[str, ...] = ()
    conflicts: tuple[Wrong, ...] = ()
    overlapping: bool = False
    """Whether something is being rotated, so that handshakes decide and are worth a closer look."""


def target(wish: Wish, time: Time, seen: Mapping[str, Wireguard]) -> Target:
    """What a wish means now.

    Args:
        wish: of `checked`.
        time: the server's.
        seen: interfaces by name, for their handshakes.
    """
    is_open = [peer for peer in wish.peers if time.is_open(peer.not_before, peer.not_after)]
    groups, conflicts = _devices(is_open)
    names = [interface.name for interface in wish.interfaces]
    peers: dict[str, dict[str, Peer]] = {name: {} for name in names}
    devices: dict[str, Device] = {}
    owners: dict[str, Owner] = {}
    for device, keys in groups.items():
        if not names:
            break
        interface, owner = _owner(keys, names, seen)
        ident = hashlib.sha256(device.encode()).hexdigest()[:16]
        owners[ident] = Owner(interface=interface, public_key=owner.public_key)
        devices[ident] = Device(
            ident=ident,
            name=owner.name,
            networks=owner.allowed_ips,
            rules=owner.rules,
            inbound=owner.inbound,
            until=owner.not_after,
        )
        for name in names:
            holder = keys[0] if len(keys) == 1 else _owner(keys, [name], seen)[1]
            for peer in keys:
                peers[name][peer.public_key] = Peer(
                    preshared_key=peer.preshared_key,
                    allowed_ips=frozenset(peer.allowed_ips) if peer is holder else frozenset(),
                    keepalive=peer.keepalive_seconds,
                )
    return Target(
        interfaces=wish.interfaces,
        peers=peers,
        devices=devices,
        owners=owners,
        routes=frozenset(_routes(wish.interfaces, devices, owners)),
        masquerade=wish.masquerade,
        unmasked=wish.unmasked,
        conflicts=conflicts,
        overlapping=len(names) > 1 or any(len(keys) > 1 for keys in groups.values()),
    )


def moments(wish: Wish) -> list[datetime]:
    """When the answer of `target` changes by itself."""
    starts = [peer.not_before for peer in wish.peers]
    return starts + [peer.not_after for peer in wish.peers if peer.not_after is not None]


def _owner(keys: list[WishedPeer], names: list[str], seen: Mapping[str, Wireguard]) -> tuple[str, WishedPeer]:
    """The newest handshake; the later of equals, and the last key on the first interface before any."""
    best, place = 0, (names[0], keys[-1])
    if len(keys) == 1 and len(names) == 1:
        return place
    for name in names:
        for peer in keys:
            there = seen[name].peers.get(peer.public_key) if name in seen else None
            if there is not None and there.latest_handshake and there.latest_handshake >= best:
                best, place = there.latest_handshake, (name, peer)
    return place


def _devices(peers: list[WishedPeer]) -> tuple[dict[str, list[WishedPeer]], tuple[Wrong, ...]]:
    """Keys by device, without keys whose addresses another device, earlier in the list, has already."""
    groups: dict[str, list[WishedPeer]] = {}
    takers: dict[str, str] = {}
    nets: list[tuple[str, str]] = []
    conflicts: list[Wrong] = []
    for peer in peers:
        taken = [text for text in peer.allowed_ips if takers.get(text, peer.device) != peer.device]
        if not taken:
            taken = _overlaps(peer, takers, nets)
        if taken:
            detail = f"peer {shown(peer.name)}: {', '.join(taken)} belongs to another open peer"
            conflicts.append(Wrong(detail=detail, public_key=peer.public_key))
            continue
        for text in peer.allowed_ips:
            takers[text] = peer.device
            if not is_host(text):
                nets.append((text, peer.device))
        groups.setdefault(peer.device, []).append(peer)
    return groups, tuple(conflicts)


def _overlaps(peer: WishedPeer, takers: Mapping[str, str], nets: list[tuple[str, str]]) -> list[str]:
    """Networks of the peer inside, or around, those of another device."""
    found = [
        text
        for text in peer.allowed_ips
        for net, device in nets
        if device != peer.device and _overlap(text, net)
    ]
    for text in peer.allowed_ips:
        if not is_host(text):
            found += [
                text for other, device in takers.items() if device != peer.device and _overlap(text, other)
            ]
    return sorted(set(found))


def _overlap(one: str, other: str) -> bool:
    first, second = _network(one), _network(other)
    return first.version == second.version and first.overlaps(second)


def is_host(network: str) -> bool:
    """Whether it is a single address."""
    return network.endswith(_HOSTS[1] if ":" in network else _HOSTS[0])


@lru_cache(maxsize=4096)
def _network(text: str) -> Network:
    return ip_network(text)


@lru_cache(maxsize=16384)
def _covered(text: str, by: tuple[str, ...]) -> bool:
    # Not kept itself: the answer is, and there are as many of these as peers have addresses.
    inner = ip_network(text)
    outer = [_network(other) for other in by]
    return any(
        inner.version == network.version and inner.subnet_of(network)  # type: ignore[arg-type]
        for network in outer
    )


def _routes(
    interfaces: tuple[WishedInterface, ...], devices: Mapping[str, Device], owners: Mapping[str, Owner]
) -> list[tuple[str, str]]:
    """The first interface has the routes of the networks; a device of its own where those are not enough."""
    if not interfaces:
        return []
    first = interfaces[0]
    own = [str(ip_interface(address).network) for address in first.addresses]
    connected = tuple(text for text in own if not is_host(text))
    routes = [(text, first.name) for text in connected]
    for ident, device in devices.items():
        interface = owners[ident].interface
        for text in device.networks:
            if interface != first.name or not _covered(text, connected):
                routes.append((text, interface))
    return routes
