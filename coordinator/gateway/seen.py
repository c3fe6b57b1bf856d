"""What is there: the output of `wg`, `ip -json` and `nft -j`, read. Pure.

`wg show NAME dump` prints tab-separated lines: the interface (private key, public key, listen port,
fwmark), then each peer (public key, preshared key, endpoint, allowed ips, latest handshake, received, sent,
keepalive). Source: wg(8).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coordinator.gateway.checked import shown

ALIAS = "coordinator-gateway"
"""Set on every interface this program made; others are never touched."""
PROTOCOL = "179"
"""Marks our routes (`ip route show proto 179`): unassigned in iproute2's rt_protos, below its end at 255."""

_NONE = "(none)"
_FAMILIES = {"inet", "inet6"}


class NotUnderstoodError(ValueError):
    """A tool printed something else than expected; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One peer on one interface. Times are Unix seconds, 0 for never; sizes are bytes."""

    preshared_key: str = field(default="", repr=False)
    endpoint: str = ""
    allowed_ips: frozenset[str] = frozenset()
    latest_handshake: int = 0
    received: int = 0
    sent: int = 0
    keepalive: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wireguard:
    """What `wg` says of one interface."""

    public_key: str = ""
    listen_port: int = 0
    peers: Mapping[str, Peer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What `ip` says of one interface."""

    ours: bool
    up: bool
    mtu: int
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything compared with the wish, except packet rules."""

    links: Mapping[str, Link] = field(default_factory=dict)
    wireguard: Mapping[str, Wireguard] = field(default_factory=dict)
    routes: frozenset[tuple[str, str]] = frozenset()
    """(network, interface) of the routes of ours."""


def read_wireguard(dump: str) -> Wireguard:
    """`wg show NAME dump`."""
    lines = dump.splitlines()
    try:
        _, public, port, _ = lines[0].split("\t")
        peers = dict(_peer(line) for line in lines[1:])
        return Wireguard(public_key=_text(public), listen_port=int(port), peers=peers)
    except (ValueError, IndexError) as error:
        # Without the lines themselves: they hold keys.
        raise NotUnderstoodError(f"`wg show … dump` printed {len(lines)} lines of another form") from error


def _peer(line: str) -> tuple[str, Peer]:
    key, preshared, endpoint, allowed, handshake, received, sent, keepalive = line.split("\t")
    return key, Peer(
        preshared_key=_text(preshared),
        endpoint=_text(endpoint),
        allowed_ips=frozenset(_text(allowed).split(",")) - {""},
        latest_handshake=int(handshake),
        received=int(received),
        sent=int(sent),
        keepalive=0 if keepalive == "off" else int(keepalive),
    )


def _text(value: str) -> str:
    return "" if value == _NONE else value


def read_links(text: str) -> dict[str, Link]:
    """`ip -json address show`: every interface by name."""
    links = {}
    for entry in _entries(text, "ip -json address show"):
        addresses = frozenset(
            f"{address['local']}/{address['prefixlen']}"
            for address in entry.get("addr_info", ())
            if address.get("family") in _FAMILIES and address.get("scope") != "link"
        )
        links[entry["ifname"]] = Link(
            ours=entry.get("ifalias") == ALIAS,
            up="UP" in entry.get("flags", ()),
            mtu=int(entry.get("mtu", 0)),
            addresses=addresses,
        )
    return links


def read_routes(text: str) -> set[tuple[str, str]]:
    """`ip -json [-6] route show proto …`: (network, interface) of each."""
    routes = set()
    for entry in _entries(text, "ip -json route show"):
        network = entry["dst"]
        if "/" not in network:
            network += "/128" if ":" in network else "/32"
        routes.add((network, entry.get("dev", "")))
    return routes


def _entries(text: str, command: str) -> list[dict[str, Any]]:
    try:
        entries = json.loads(text or "[]")
    except ValueError as error:
        raise NotUnderstoodError(f"`{command}` printed `{shown(text)}`") from error
    # iproute2 prints an empty object for an interface that went away meanwhile.
    return [entry for entry in entries if entry]
