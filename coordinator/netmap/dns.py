"""DNSConfig from the server's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from msgspec import UNSET

from coordinator.tailcfg.dns_config import DNSConfig, DNSRecord, Resolver


@dataclass(frozen=True, slots=True, kw_only=True)
class DNSSettings:
    """The `dns.*` keys. `split` maps a suffix to name servers."""

    magic_dns: bool
    base_domain: str
    override_local_dns: bool
    nameservers: Sequence[str] = ()
    split: Mapping[str, Sequence[str]] = field(default_factory=dict)
    search_domains: Sequence[str] = ()
    extra_records: Sequence[DNSRecord] = ()


def build_dns_config(settings: DNSSettings, prefixes: Sequence[IPv4Network | IPv6Network]) -> DNSConfig:
    """What clients are told.

    Global name servers go into Resolvers when they replace the system's own, else into FallbackResolvers. The
    base domain and the reverse zones of the tailnet's prefixes are routed to the client's built-in resolver
    (an empty list).
    """
    servers = [Resolver(address) for address in settings.nameservers]
    routes: dict[str, list[Resolver]] = {
        suffix: [Resolver(address) for address in addresses] for suffix, addresses in settings.split.items()
    }
    if settings.magic_dns:
        for network in prefixes:
            for zone in reverse_zones(network):
                routes.setdefault(zone, [])
        if settings.base_domain:
            routes.setdefault(settings.base_domain, [])
    domains = [settings.base_domain] if settings.base_domain else []
    domains += [domain for domain in settings.search_domains if domain not in domains]
    return DNSConfig(
        resolvers=servers if servers and settings.override_local_dns else UNSET,
        fallback_resolvers=servers if servers and not settings.override_local_dns else UNSET,
        routes=routes or UNSET,
        domains=domains or UNSET,
        proxied=settings.magic_dns,
        extra_records=tuple(settings.extra_records) or UNSET,
    )


def reverse_zones(network: IPv4Network | IPv6Network) -> list[str]:
    """The reverse DNS zones that together cover a prefix, cut at the next whole label."""
    bits, suffix = (8, "in-addr.arpa") if network.version == 4 else (4, "ip6.arpa")
    labels = -(-network.prefixlen // bits) or 1
    zones = []
    for subnet in network.subnets(new_prefix=labels * bits):
        if network.version == 4:
            parts = str(subnet.network_address).split(".")
        else:
            parts = list(subnet.network_address.exploded.replace(":", ""))
        zones.append(".".join([*reversed(parts[:labels]), suffix]))
    return zones
