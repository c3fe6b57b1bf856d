"""From what is there to what should be, by differences: commands, and what was out of the ordinary. Pure.

When nothing differs there is nothing to run. Peers that stay are not mentioned in any command, so their
sessions go on. Keys never stand in arguments, which everybody on the machine can read: they go through
standard input or a file only this program reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface

from coordinator.gateway.seen import ALIAS, PROTOCOL, Link, Seen, Wireguard
from coordinator.gateway.target import Peer, Target
from coordinator.wireguard.wire import Problem, WishedInterface

Endpoints = Mapping[tuple[str, str], str]
"""Where devices are, by (interface, public key)."""
_NOWHERE: Endpoints = {}
# Any will do: it is the change from none that makes WireGuard send at once.
_WAKING_KEEPALIVE_S = 25
# Arguments of one command may have two megabytes together.
_PEERS_PER_COMMAND = 2000
_NO_PRESHARED_KEY = "A" * 43 + "="


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A command with its standard input, which may hold keys."""

    argv: tuple[str, ...]
    stdin: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """An interface to make: by the kernel, or by wireguard-go where the kernel cannot."""

    name: str


Step = Run | Make


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something a report should tell."""

    kind: Problem
    detail: str
    public_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`closing` comes before the packet rules change, `opening` after it."""

    closing: tuple[Step, ...] = ()
    opening: tuple[Step, ...] = ()
    remarks: tuple[Remark, ...] = ()
    refusals: tuple[str, ...] = ()
    """What cannot be done until somebody changes something here."""

    def __bool__(self) -> bool:
        return bool(self.closing or self.opening)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One of the gateway's own keys: the public half, and the file with the private one."""

    public: str
    path: str


Applied = Mapping[tuple[str, str], Peer]
"""What this program last made of each (interface, public key)."""


def plan(
    target: Target,
    seen: Seen,
    *,
    keys: Mapping[str, Key],
    applied: Applied,
    known: Collection[str],
    endpoints: Endpoints = _NOWHERE,
) -> Plan:
    """What has to be done.

    Args:
        target: wanted at this moment.
        seen: what is there.
        keys: the gateway's own, by `key_id`. Without its key an interface is not made; one that is there
            goes on with what it has.
        applied: to tell what somebody else changed from what was never there.
        known: public keys of peers that were wished at some time, open or not.
        endpoints: with those that come, the handshake is begun from here.
    """
    closing: list[Step] = []
    opening: list[Step] = []
    remarks: list[Remark] = []
    refusals: list[str] = []
    woken: dict[str, list[str]] = {}
    names = {interface.name for interface in target.interfaces}
    closing += [
        Run(argv=("ip", "link", "delete", "dev", name))
        for name, found in seen.links.items()
        if found.ours and name not in names
    ]
    usable = list(_usable(target, seen, keys, refusals))
    for interface in usable:
        if interface.name not in seen.links:
            opening.append(Make(name=interface.name))
            if any(name == interface.name for name, _ in applied):
                detail = f"interface {interface.name} was gone; made again"
                remarks.append(Remark(kind="peer-changed", detail=detail))
        there = seen.wireguard.get(interface.name, Wireguard())
        wanted = target.peers[interface.name]
        remarks += _remarks(
            interface.name, wanted, there, applied, known, is_new=interface.name not in seen.links
        )
        opening += _interface(interface, there, keys.get(interface.key_id))
        closing += _removed(interface.name, [key for key in there.peers if key not in wanted])
        differing = {key: peer for key, peer in wanted.items() if not _is(peer, there, key)}
        awake = {
            key: endpoint
            for key in differing
            if key not in there.peers and (endpoint := endpoints.get((interface.name, key))) is not None
        }
        opening += _added(interface.name, differing, awake)
        woken[interface.name] = [key for key in awake if not wanted[key].keepalive]
    opening += _addresses_and_routes(usable, seen, target)
    # The last step: an interface that is new sends nothing before it is up.
    opening += [run for name, keys_awake in woken.items() for run in _calmed(name, keys_awake)]
    return Plan(
        closing=tuple(closing), opening=tuple(opening), remarks=tuple(remarks), refusals=tuple(refusals)
    )


def _usable(
    target: Target, seen: Seen, keys: Mapping[str, Key], refusals: list[str]
) -> Iterator[WishedInterface]:
    """The wished interfaces that are, or can be, this program's; why not, for the others."""
    for interface in target.interfaces:
        link = seen.links.get(interface.name)
        if link is not None and not link.ours:
            refusals.append(
                f"there is an interface {interface.name} that this program did not make; "
                "rename or delete it, or start with --interface-prefix"
            )
        elif link is None and interface.key_id not in keys:
            refusals.append(f"interface {interface.name} is not made: its private key is missing")
        else:
            yield interface


def _is(peer: Peer, there: Wireguard, key: str) -> bool:
    seen = there.peers.get(key)
    return seen is not None and (
        (seen.preshared_key, seen.allowed_ips, seen.keepalive)
        == (peer.preshared_key, peer.allowed_ips, peer.keepalive)
    )


def _remarks(
    name: str,
    wanted: Mapping[str, Peer],
    there: Wireguard,
    applied: Applied,
    known: Collection[str],
    *,
    is_new: bool,
) -> Iterator[Remark]:
    for key in there.peers:
        if key not in wanted and key not in known and (name, key) not in applied:
            yield Remark(
                kind="unknown-peer", detail=f"on {name}, nobody wished for it; removed", public_key=key
            )
    if is_new:
        return
    for key, peer in wanted.items():
        if applied.get((name, key)) == peer and not _is(peer, there, key):
            what = "changed" if key in there.peers else "removed"
            yield Remark(
                kind="peer-changed", detail=f"on {name}, {what} by somebody else; restored", public_key=key
            )


def _interface(interface: WishedInterface, there: Wireguard, key: Key | None) -> Iterator[Run]:
    settings: list[str] = []
    if there.listen_port != interface.listen_port:
        settings += ["listen-port", str(interface.listen_port)]
    if key is not None and there.public_key != key.public:
        settings += ["private-key", key.path]
    if settings:
        yield Run(argv=("wg", "set", interface.name, *settings))


def _removed(name: str, keys: list[str]) -> Iterator[Run]:
    for start in range(0, len(keys), _PEERS_PER_COMMAND):
        words = [word for key in keys[start : start + _PEERS_PER_COMMAND] for word in ("peer", key, "remove")]
        yield Run(argv=("wg", "set", name, *words))


def _added(name: str, peers: Mapping[str, Peer], awake: Mapping[str, str]) -> Iterator[Run]:
    """`addconf` leaves out who is not mentioned, and replaces everything of who is.

    To a peer with an endpoint that gets a keepalive, WireGuard sends one at once, and for that begins a
    handshake. It has to be one step: an attempt without an endpoint would keep it from another for 5 s.
    """
    if not peers:
        return
    lines: list[str] = []
    for key, peer in peers.items():
        lines += ["[Peer]", f"PublicKey = {key}", f"PresharedKey = {peer.preshared_key or _NO_PRESHARED_KEY}"]
        if peer.allowed_ips:
            lines.append(f"AllowedIPs = {', '.join(sorted(peer.allowed_ips))}")
        keepalive: int | str = peer.keepalive or "off"
        if key in awake:
            lines.append(f"Endpoint = {awake[key]}")
            keepalive = peer.keepalive or _WAKING_KEEPALIVE_S
        lines.append(f"PersistentKeepalive = {keepalive}")
    yield Run(argv=("wg", "addconf", name, "/dev/stdin"), stdin="\n".join(lines) + "\n")


def _calmed(name: str, keys: list[str]) -> Iterator[Run]:
    """Takes the keepalive away again that only was to begin a handshake."""
    for start in range(0, len(keys), _PEERS_PER_COMMAND):
        words = [
            word
            for key in keys[start : start + _PEERS_PER_COMMAND]
            for word in ("peer", key, "persistent-keepalive", "off")
        ]
        yield Run(argv=("wg", "set", name, *words))


def _addresses_and_routes(interfaces: list[WishedInterface], seen: Seen, target: Target) -> Iterator[Run]:
    """All of it in one run of `ip`."""
    lines: list[str] = []
    none = Link(ours=True, up=False, mtu=0, addresses=frozenset())
    for interface in interfaces:
        name = interface.name
        link = seen.links.get(name, none)
        if link.mtu != interface.mtu:
            lines.append(f"link set dev {name} mtu {interface.mtu}")
        if not link.up:
            lines.append(f"link set dev {name} up")
        wanted = {str(ip_interface(address)) for address in interface.addresses}
        # Routes are ours to make: with two interfaces only one may have that of the network.
        lines += [f"address delete {address} dev {name}" for address in sorted(link.addresses - wanted)]
        lines += [
            f"address replace {address} dev {name} noprefixroute"
            for address in sorted(wanted - link.addresses)
        ]
    names = {interface.name for interface in interfaces}
    # A link that goes up or down, or is made anew, loses its routes: what was seen then says nothing.
    settled = {interface.name for interface in interfaces if seen.links.get(interface.name, none).up}
    there = {(network, name) for network, name in seen.routes if name in settled}
    wanted_routes = {(network, name) for network, name in target.routes if name in names}
    replaced = {network for network, _ in wanted_routes}
    lines += [
        f"route delete {network} dev {name} proto {PROTOCOL}"
        for network, name in sorted(there - wanted_routes)
        if network not in replaced
    ]
    lines += [
        f"route replace {network} dev {name} proto {PROTOCOL}"
        for network, name in sorted(wanted_routes - there)
    ]
    if lines:
        yield Run(argv=("ip", "-force", "-batch", "-"), stdin="\n".join(lines) + "\n")


def alias(name: str) -> Run:
    """Marks an interface as made by this program."""
    return Run(argv=("ip", "link", "set", "dev", name, "alias", ALIAS))


def without_peers(seen: Seen) -> list[Run]:
    """Takes every peer off: without packet rules nobody may be there."""
    return [run for name, there in seen.wireguard.items() for run in _removed(name, list(there.peers))]
