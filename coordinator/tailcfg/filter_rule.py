"""FilterRule: one line of a node's packet filter.

A rule has either DstPorts or CapGrant. Host bits in a prefix or `SrcBits` would make clients drop rules or
the whole filter, so neither is ever written.
Source: tailscale tailcfg/tailcfg.go (FilterRule, NetPortRange, CapGrant).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType


class PortRange(msgspec.Struct, frozen=True, rename={"first": "First", "last": "Last"}):
    """Inclusive; 0-65535 is "any"."""

    first: int
    last: int


class NetPortRange(msgspec.Struct, frozen=True, rename={"ip": "IP", "ports": "Ports"}):
    """`ip` is "*", an address, a prefix or a range `a-b`."""

    ip: str
    ports: PortRange


class CapGrant(msgspec.Struct, frozen=True, rename={"dsts": "Dsts", "cap_map": "CapMap"}):
    """Application capabilities the sources have at the destinations."""

    dsts: Sequence[str]
    cap_map: Mapping[str, Sequence[msgspec.Raw] | None]


class FilterRule(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"src_ips": "SrcIPs", "ip_proto": "IPProto", "dst_ports": "DstPorts", "cap_grant": "CapGrant"},
):
    """Absent `ip_proto` means TCP, UDP and both ICMPs."""

    src_ips: Sequence[str]
    ip_proto: Sequence[int] | UnsetType = UNSET
    dst_ports: Sequence[NetPortRange] | UnsetType = UNSET
    cap_grant: Sequence[CapGrant] | UnsetType = UNSET
