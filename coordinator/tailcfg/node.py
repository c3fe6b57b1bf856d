"""The Node document: one peer, or the receiving node itself.

Absent, `null` and `[]` differ: `AllowedIPs` `[]` means "nothing routed", so it is always written; a zero
`KeyExpiry` is left out.
Source: tailscale tailcfg/tailcfg.go (Node, PeerChange).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

CapMap = Mapping[str, Sequence[Any] | None]


class WireNode(
    msgspec.Struct,
    kw_only=True,
    rename={
        "id": "ID",
        "stable_id": "StableID",
        "name": "Name",
        "user": "User",
        "key": "Key",
        "key_expiry": "KeyExpiry",
        "machine": "Machine",
        "disco_key": "DiscoKey",
        "addresses": "Addresses",
        "allowed_ips": "AllowedIPs",
        "endpoints": "Endpoints",
        "home_derp": "HomeDERP",
        "legacy_derp": "DERP",
        "hostinfo": "Hostinfo",
        "created": "Created",
        "cap": "Cap",
        "tags": "Tags",
        "primary_routes": "PrimaryRoutes",
        "last_seen": "LastSeen",
        "online": "Online",
        "machine_authorized": "MachineAuthorized",
        "cap_map": "CapMap",
        "expired": "Expired",
    },
):
    """`name` is an FQDN with a trailing dot. Times are RFC 3339 text."""

    id: int
    stable_id: str
    name: str
    user: int
    key: str
    key_expiry: str | UnsetType = UNSET
    machine: str | UnsetType = UNSET
    disco_key: str | UnsetType = UNSET
    addresses: Sequence[str]
    allowed_ips: Sequence[str]
    endpoints: Sequence[str] | UnsetType = UNSET
    home_derp: int | UnsetType = UNSET
    legacy_derp: str | UnsetType = UNSET
    hostinfo: Mapping[str, Any]
    created: str
    cap: int | UnsetType = UNSET
    tags: Sequence[str] | UnsetType = UNSET
    primary_routes: Sequence[str] | UnsetType = UNSET
    last_seen: str | UnsetType = UNSET
    online: bool | UnsetType = UNSET
    machine_authorized: bool = True
    cap_map: CapMap | UnsetType = UNSET
    expired: bool | UnsetType = UNSET


class PeerChange(
    msgspec.Struct,
    kw_only=True,
    rename={
        "node_id": "NodeID",
        "derp_region": "DERPRegion",
        "endpoints": "Endpoints",
        "online": "Online",
        "last_seen": "LastSeen",
        "key_expiry": "KeyExpiry",
    },
):
    """A patch of a peer the viewer already has;

    a message made only of these costs clients no netmap rebuild (KeyExpiry apart).
    """

    node_id: int
    derp_region: int | UnsetType = UNSET
    endpoints: Sequence[str] | UnsetType = UNSET
    online: bool | UnsetType = UNSET
    last_seen: str | UnsetType = UNSET
    key_expiry: str | UnsetType = UNSET
