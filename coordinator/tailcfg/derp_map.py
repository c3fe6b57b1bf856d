"""DERPMap: the relays a client may use.

Source: tailscale tailcfg/derpmap.go. A map without regions takes a client's relay away for good, so none is
ever sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType


class DERPNode(
    msgspec.Struct,
    kw_only=True,
    frozen=True,
    rename={
        "name": "Name",
        "region_id": "RegionID",
        "host_name": "HostName",
        "cert_name": "CertName",
        "ipv4": "IPv4",
        "ipv6": "IPv6",
        "stun_port": "STUNPort",
        "stun_only": "STUNOnly",
        "derp_port": "DERPPort",
        "insecure_for_tests": "InsecureForTests",
        "can_port80": "CanPort80",
    },
):
    """One relay host.

    `cert_name` `sha256-raw:<hex>` pins the SHA-256 of the leaf certificate's DER (clients from 1.82).
    """

    name: str
    region_id: int
    host_name: str
    cert_name: str | UnsetType = UNSET
    ipv4: str | UnsetType = UNSET
    ipv6: str | UnsetType = UNSET
    stun_port: int | UnsetType = UNSET
    stun_only: bool | UnsetType = UNSET
    derp_port: int | UnsetType = UNSET
    insecure_for_tests: bool | UnsetType = UNSET
    can_port80: bool | UnsetType = UNSET


class DERPRegion(
    msgspec.Struct,
    kw_only=True,
    frozen=True,
    rename={
        "region_id": "RegionID",
        "region_code": "RegionCode",
        "region_name": "RegionName",
        "avoid": "Avoid",
        "nodes": "Nodes",
    },
):
    """Relays in one place; ids 900-999 are meant for self-hosted regions."""

    region_id: int
    region_code: str
    region_name: str
    avoid: bool | UnsetType = UNSET
    nodes: Sequence[DERPNode]


class DERPMap(msgspec.Struct, kw_only=True, frozen=True, rename={"regions": "Regions"}):
    """All regions, keyed by region id in decimal."""

    regions: Mapping[str, DERPRegion]
