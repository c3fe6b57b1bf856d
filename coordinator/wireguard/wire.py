"""What the server and its gateways say to each other, as JSON.

A gateway asks for its wish with a long poll and reports what it sees. Unknown fields are ignored on both
sides, so that either may be newer.

    GET  /gateway/v1/wish?have=VERSION&wait=SECONDS   200 Wish, or 204 when nothing changed within the wait
    POST /gateway/v1/report                           Report -> 204

Both carry `Authorization: Bearer TOKEN`, the token `wireguard gateways create` printed once. 401: the token
is not, or no longer, valid; the gateway closes its windows by its own clock and keeps trying.

Keys are standard base64 of 32 bytes, as `wg` prints them; times are RFC 3339 in UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

WISH_PATH = "/gateway/v1/wish"
REPORT_PATH = "/gateway/v1/report"
MAX_WAIT_SECONDS = 55

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone: others could not be compared with the server's."""
Proto = Literal["tcp", "udp", "icmp", "any"]
Problem = Literal[
    "unknown-peer",
    "peer-changed",
    "rules-changed",
    "closed-alone",
    "clock",
    "apply-failed",
]
"""What a gateway tells about itself.

unknown-peer: a peer nobody wished for was on the interface and has been removed; peer-changed: a wished peer
had been altered by hand; rules-changed: the nftables table had been altered and was restored; closed-alone: a
window was closed by the gateway's own clock while the server was away; clock: it differs from the server's by
more than the tolerance; apply-failed: `wg` or `nft` refused.
"""


class Rule(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something a peer may reach. Ports are inclusive ranges; none of them means every port."""

    networks: tuple[str, ...]
    proto: Proto = "any"
    ports: tuple[tuple[int, int], ...] = ()


class WishedPeer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A key that belongs on the interface between two moments.

    Peers with the same `device` share their addresses: they are the old and the new key of one device, and
    the addresses belong to the one with the newest handshake (to the last in the list while none has any).
    """

    public_key: str
    device: str
    name: str
    allowed_ips: tuple[str, ...]
    not_before: datetime
    not_after: datetime | None
    preshared_key: str = ""
    keepalive_seconds: int = 0
    rules: tuple[Rule, ...] = ()
    inbound: tuple[Rule, ...] = ()
    """Who may reach the peer: `networks` are sources here. Answers to its own connections always pass."""


class WishedInterface(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One WireGuard interface. Two of them, with the same peers, while the gateway's key is being rotated.

    The private key is made on the gateway, kept in its state directory under `key_id`, and never sent.
    """

    name: str
    key_id: str
    listen_port: int
    addresses: tuple[str, ...]
    mtu: int = 1420


class Wish(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All a gateway should be. `version` is opaque, changes with the content; `now` is the server's clock."""

    version: str
    gateway: str
    now: datetime
    interfaces: tuple[WishedInterface, ...]
    peers: tuple[WishedPeer, ...]
    masquerade: bool = True
    """Whether packets of peers leave with the gateway's address: networks behind it have no route back."""
    unmasked: tuple[str, ...] = ()
    """Networks that packets go to with the peers' own addresses all the same: they have a way back."""
    report_seconds: int = 10
    """How often to report when nothing happens."""


class SeenPeer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A peer as `wg show` and the rule counters tell. Bytes are totals since the interface came up."""

    public_key: str
    interface: str
    endpoint: str = ""
    latest_handshake: Moment | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    refused_packets: int = 0


class Noticed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something out of the ordinary; `public_key` where a peer is concerned."""

    kind: Problem
    at: Moment
    detail: str
    public_key: str = ""


class Knocked(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Handshakes begun by the holder of a key that is in no window, `count` since it was told last.

    The key is proven: the initiation was made with its private half. Endpoint and time are those of the last.
    """

    public_key: str
    endpoint: str
    at: datetime
    count: int = 1


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a gateway is and saw. `version` is that of the wish in force, empty before the first.

    `public_keys` maps each `key_id` to the public half of the key kept under it. Events are repeated until a
    report with them was answered; the server may get one twice.
    """

    version: str
    now: Moment
    public_keys: dict[str, str]
    peers: tuple[SeenPeer, ...] = ()
    events: tuple[Noticed, ...] = ()
    agent: str = ""
    """Name and version of the program."""
    knocks: tuple[Knocked, ...] = ()
    """Each key once a minute at most, some keys of each report; like events, until answered."""
