"""DNSConfig and the extra records in it.

`Routes` values `[]` mean "answered by the built-in resolver". Source: tailscale tailcfg/tailcfg.go
(DNSConfig, DNSRecord).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType


class Resolver(msgspec.Struct, frozen=True, rename={"addr": "Addr"}):
    """A name server: IP, IP:port or DoH URL."""

    addr: str


class DNSRecord(
    msgspec.Struct, frozen=True, kw_only=True, rename={"name": "Name", "type": "Type", "value": "Value"}
):
    """An extra A or AAAA record; clients know no other type."""

    name: str
    type: str | UnsetType = UNSET
    value: str


class DNSConfig(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "resolvers": "Resolvers",
        "routes": "Routes",
        "fallback_resolvers": "FallbackResolvers",
        "domains": "Domains",
        "proxied": "Proxied",
        "extra_records": "ExtraRecords",
    },
):
    """Full replacement each time it is sent; `proxied` is MagicDNS."""

    resolvers: Sequence[Resolver] | UnsetType = UNSET
    routes: Mapping[str, Sequence[Resolver]] | UnsetType = UNSET
    fallback_resolvers: Sequence[Resolver] | UnsetType = UNSET
    domains: Sequence[str] | UnsetType = UNSET
    proxied: bool | UnsetType = UNSET
    extra_records: Sequence[DNSRecord] | UnsetType = UNSET
