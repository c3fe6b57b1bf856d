"""DNSConfig from the server's settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import quote, urlencode

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from coordinator.tailcfg.dns_config import DNSConfig, DNSRecord, Resolver
from coordinator.tailcfg.hostinfo import operating_system
from coordinator.tailnet.nodes import Node

NEXTDNS = "https://dns.nextdns.io/"
_PROFILE = "nextdns:"
_NO_DEVICE_INFO = "nextdns:no-device-info"


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


def dns_for(config: DNSConfig, node: Node, capabilities: Iterable[str]) -> DNSConfig:
    """What one node is told: as everybody, unless a name server is NextDNS.

    The policy's `nextdns:<profile>` puts another profile into the address; the node is named to NextDNS
    (`device_name`, `device_model`, `device_ip`) unless it has `nextdns:no-device-info`.
    """
    found = (config.resolvers, config.fallback_resolvers)
    if not any(resolver.addr.startswith(NEXTDNS) for part in found if part for resolver in part):
        return config
    flags = set(capabilities)
    profiles = sorted(flag for flag in flags if flag.startswith(_PROFILE) and flag != _NO_DEVICE_INFO)
    profile = profiles[0].removeprefix(_PROFILE) if profiles else None
    query = "" if _NO_DEVICE_INFO in flags else _device_query(node)

    def own(resolvers: Sequence[Resolver] | UnsetType) -> Sequence[Resolver] | UnsetType:
        if not resolvers:
            return resolvers
        return [_own_resolver(resolver, profile, query) for resolver in resolvers]

    return replace(config, resolvers=own(config.resolvers), fallback_resolvers=own(config.fallback_resolvers))


def _own_resolver(resolver: Resolver, profile: str | None, query: str) -> Resolver:
    if not resolver.addr.startswith(NEXTDNS):
        return resolver
    address, _, given = resolver.addr.partition("?")
    if profile:
        address = NEXTDNS + quote(profile, safe="")
    return Resolver("?".join(part for part in (address, "&".join(filter(None, (given, query)))) if part))


def _device_query(node: Node) -> str:
    fields = {"device_name": node.given_name, "device_model": operating_system(node.hostinfo)}
    if node.addresses:
        fields["device_ip"] = str(node.addresses[0])
    return urlencode(fields)


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
