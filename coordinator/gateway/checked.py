"""A server's wish, checked before any of it becomes a command line. Pure.

Names, keys and networks end up in arguments of `wg` and `ip` and in the text `nft` reads, so nothing passes
that is not exactly of its form. What is wrong takes only its own interface or peer along: a mistake in one
peer must not keep another from being closed.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network

import msgspec

from coordinator.wireguard.wire import Rule, Wish, WishedInterface, WishedPeer

Network = IPv4Network | IPv6Network

_KEY_BYTES = 32
_INTERFACE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}\Z")
_KEY_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}\Z")
_SMALLEST_MTU = 576
# IPv6 does without nothing smaller (RFC 8200, section 5).
_SMALLEST_MTU_IPV6 = 1280
_LARGEST_MTU = 65535
_LAST_PORT = 65535
_LONGEST_TEXT = 80


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """Something in a wish that cannot be followed; `public_key` where it is a peer."""

    detail: str
    public_key: str = ""


class _NotAllowedError(ValueError):
    """Text says what and where."""


def checked(wish: Wish, *, prefix: str = "") -> tuple[Wish, tuple[Wrong, ...]]:
    """The part of a wish that can be followed, in canonical form, and what is wrong with the rest.

    Args:
        wish: as decoded.
        prefix: put before the names of interfaces; the names with it must fit the kernel's 15 characters.
    Returns:
        A wish whose networks are canonical and collapsed, whose keys are 32 bytes, without duplicate keys,
        names, ports or key ids; and one `Wrong` for each thing left out.
    """
    wrong: list[Wrong] = []
    interfaces: list[WishedInterface] = []
    for interface in wish.interfaces:
        try:
            interfaces.append(_interface(interface, prefix, interfaces))
        except ValueError as error:
            wrong.append(Wrong(detail=f"interface {shown(interface.name)}: {error}"))
    peers: list[WishedPeer] = []
    keys: set[str] = set()
    known: dict[WishedPeer, WishedPeer] = {}
    for peer in wish.peers:
        try:
            if peer.public_key in keys:
                raise _NotAllowedError("its public key is in the wish twice")
            clean = _known.get(peer) or _peer(peer)
            # Nearly always the server says it as we do: then one of the two is enough.
            known[clean if clean == peer else peer] = clean
            peers.append(clean)
            keys.add(peer.public_key)
        except ValueError as error:
            wrong.append(Wrong(detail=f"peer {shown(peer.name)}: {error}", public_key=shown(peer.public_key)))
    unmasked: list[str] = []
    for text in wish.unmasked:
        try:
            unmasked.append(str(_without_zone(ip_network(text))))
        except ValueError:
            wrong.append(Wrong(detail=f"unmasked: `{shown(text)}` is no network"))
    _known.clear()
    _known.update(known)
    allowed = msgspec.structs.replace(
        wish, interfaces=tuple(interfaces), peers=tuple(peers), unmasked=tuple(unmasked)
    )
    return allowed, tuple(wrong)


def shown(text: str) -> str:
    """A server's text, short and without characters that end a line or command a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text[:_LONGEST_TEXT])


def is_key(text: str) -> bool:
    """Whether a text is base64 of 32 bytes, written the one way `wg` writes it."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(raw) == _KEY_BYTES and base64.b64encode(raw).decode() == text


def _interface(given: WishedInterface, prefix: str, before: list[WishedInterface]) -> WishedInterface:
    name = prefix + given.name
    if not _INTERFACE_NAME.match(name):
        raise _NotAllowedError(
            f"`{shown(name)}` is no name for an interface (1 to 15 letters, digits, `_`, `.` or `-`)"
        )
    if not _KEY_ID.match(given.key_id):
        raise _NotAllowedError(f"`{shown(given.key_id)}` is no id for a key")
    if not 0 < given.listen_port <= _LAST_PORT:
        raise _NotAllowedError(f"{given.listen_port} is no UDP port")
    for other in before:
        if other.name == name or other.key_id == given.key_id or other.listen_port == given.listen_port:
            raise _NotAllowedError("another interface has its name, key or port")
    if not given.addresses:
        raise _NotAllowedError("it has no address")
    addresses = tuple(ip_interface(address) for address in given.addresses)
    if any("%" in address for address in given.addresses):
        raise _NotAllowedError("an address of it names a zone")
    if any(address.network.prefixlen == 0 for address in addresses):
        raise _NotAllowedError("its network would be everything")
    smallest = _SMALLEST_MTU_IPV6 if any(address.version == 6 for address in addresses) else _SMALLEST_MTU
    if not smallest <= given.mtu <= _LARGEST_MTU:
        raise _NotAllowedError(f"an MTU of {given.mtu} is not between {smallest} and {_LARGEST_MTU}")
    return msgspec.structs.replace(
        given, name=name, addresses=tuple(address.with_prefixlen for address in addresses)
    )


# Most peers of a wish were in the one before: parsing thousands of networks for each change is not needed.
_known: dict[WishedPeer, WishedPeer] = {}


def _peer(given: WishedPeer) -> WishedPeer:
    if not is_key(given.public_key):
        raise _NotAllowedError("its public key is not base64 of 32 bytes")
    if given.preshared_key and not is_key(given.preshared_key):
        raise _NotAllowedError("its preshared key is not base64 of 32 bytes")
    if not given.device:
        raise _NotAllowedError("it has no device")
    for moment in (given.not_before, given.not_after):
        if moment is not None and moment.tzinfo is None:
            raise _NotAllowedError("a time without its zone")
    if not 0 <= given.keepalive_seconds <= _LAST_PORT:
        raise _NotAllowedError(f"a keepalive of {given.keepalive_seconds} seconds")
    allowed = _networks(given.allowed_ips, "address")
    if any(network.prefixlen == 0 for network in allowed):
        raise _NotAllowedError("it would take every address (0.0.0.0/0 or ::/0)")
    return msgspec.structs.replace(
        given,
        allowed_ips=tuple(str(network) for network in allowed),
        rules=_rules(given.rules, "rule"),
        inbound=_rules(given.inbound, "inbound rule"),
    )


# Peers of one profile have the same rules: they share them.
@lru_cache(maxsize=1024)
def _rules(rules: tuple[Rule, ...], what: str) -> tuple[Rule, ...]:
    clean = []
    for number, rule in enumerate(rules, start=1):
        try:
            networks = _networks(rule.networks, "network")
            ports = _ports(rule)
        except ValueError as error:
            raise _NotAllowedError(f"{what} {number}: {error}") from error
        clean.append(
            Rule(networks=tuple(str(network) for network in networks), proto=rule.proto, ports=ports)
        )
    return tuple(clean)


def _networks(texts: tuple[str, ...], what: str) -> list[Network]:
    """Sorted, without what another one contains: sets of nft refuse overlaps."""
    if not texts:
        raise _NotAllowedError(f"no {what}")
    networks = [_without_zone(ip_network(text, strict=False)) for text in texts]
    return [
        *collapsed([n for n in networks if n.version == 4]),
        *collapsed([n for n in networks if n.version == 6]),
    ]


def _without_zone(network: Network) -> Network:
    """Python reads `fd00::7%eth0` as an address; `nft` refuses the whole text for its sake."""
    if "%" in str(network):
        raise _NotAllowedError(f"`{shown(str(network))}` names a zone")
    return network


def collapsed(networks: list[Network]) -> list[Network]:
    """Sorted networks of one family without those inside another; neighbours are not joined."""
    kept: list[Network] = []
    for network in sorted(set(networks), key=lambda n: (int(n.network_address), n.prefixlen)):
        if not kept or int(network.network_address) > int(kept[-1].broadcast_address):
            kept.append(network)
    return kept


def _ports(rule: Rule) -> tuple[tuple[int, int], ...]:
    if rule.ports and rule.proto == "icmp":
        raise _NotAllowedError("ICMP has no ports")
    merged: list[tuple[int, int]] = []
    for first, last in sorted(rule.ports):
        if not 0 < first <= last <= _LAST_PORT:
            raise _NotAllowedError(f"{first}-{last} is no range of ports")
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)
