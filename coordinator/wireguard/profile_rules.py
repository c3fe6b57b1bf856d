"""What an access profile lets a plain WireGuard peer reach: rules for the gateway, routes for the device.

Here: networks that are written in the policy as such (prefixes, hosts, IP sets, the internet). Destinations
that mean machines of the tailnet become addresses through `Machines`, which whoever knows the machines hands
in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
    summarize_address_range,
)
from typing import TypeVar

from acl.addresses import EXIT_ROUTES, AddressRange
from acl.compile import NO_PEERS, Peers, SpecMaker
from acl.document import AccessProfile, Policy
from acl.ports import ALL_PORTS, PortRange, parse_ports, parse_protocol
from acl.selectors import parse_selector, split_destination
from coordinator.wireguard.pools import host_prefix
from coordinator.wireguard.wire import Proto, Rule

Machines = Callable[[tuple[str, ...]], tuple[str, ...]]
"""From selectors such as `tag:web` or `autogroup:member` to the addresses (CIDRs) of machines they mean."""

N = TypeVar("N", IPv4Network, IPv6Network)
_PROTOCOLS: dict[int, Proto] = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp"}
_INTERNET = "autogroup:internet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a profile opens. `routes` is what the device sends into its tunnel, without overlaps."""

    rules: tuple[Rule, ...] = ()
    routes: tuple[str, ...] = ()


class UnsupportedProfileError(ValueError):
    """A profile that a gateway cannot hold anybody to; says why."""


def with_name_servers(reach: Reach, servers: Iterable[str]) -> Reach:
    """A reach that is not empty, and port 53 of the gateway's own name servers beside it.

    A device asks them for every name while its tunnel is up. Public ones it reaches without the tunnel, so
    they stay outside.
    """
    inner = [host_prefix(server) for server in servers if not ip_address(server).is_global]
    if not inner or not reach.rules:
        return reach
    asking = tuple(Rule(networks=tuple(inner), proto=proto, ports=((53, 53),)) for proto in ("udp", "tcp"))
    return Reach(rules=(*reach.rules, *asking), routes=collapsed({*reach.routes, *inner}))


def no_machines(selectors: tuple[str, ...]) -> tuple[str, ...]:
    """For a gateway that is no part of a tailnet: it reaches none of its machines."""
    return ()


def wire_protocol(number: int) -> Proto | None:
    """A protocol's name to gateways; None for one that they cannot tell apart."""
    return _PROTOCOLS.get(number)


def profile_reach(
    policy: Policy, profile: AccessProfile, machines: Machines = no_machines, peers: Peers = NO_PEERS
) -> Reach:
    """The rules and routes of a profile; `peers` are the facts' WireGuard peers.

    Raises:
        UnsupportedProfileError: it speaks of a protocol gateways cannot tell apart.
    """
    maker = SpecMaker(policy, peers)
    protocol = None if profile.proto is None else _protocol(profile)
    rules: list[Rule] = []
    routes: set[str] = set()
    for word in profile.dst:
        host, ports = split_destination(word.text)
        spec = maker.spec([parse_selector(host)])
        if spec.wildcard or spec.everything:
            networks: tuple[str, ...] = EXIT_ROUTES
        else:
            networks = tuple(cidr for item in spec.ranges for cidr in cidrs(item)) + machines(spec.identities)
        if not networks:
            continue
        rules += _rules(networks, protocol, parse_ports(ports))
        # All of the internet is what people ask for with it; the gateway still refuses what is not in it.
        routes.update(EXIT_ROUTES if host.strip() == _INTERNET else networks)
    return Reach(rules=tuple(dict.fromkeys(rules)), routes=collapsed(routes))


def collapsed(networks: set[str]) -> tuple[str, ...]:
    """Networks without those that others hold already, IPv4 first."""
    found = [ip_network(network) for network in networks]
    return (
        *_widest([network for network in found if isinstance(network, IPv4Network)]),
        *_widest([network for network in found if isinstance(network, IPv6Network)]),
    )


def cidrs(item: AddressRange) -> tuple[str, ...]:
    """A range as CIDRs."""
    if item.version == 4:
        return tuple(map(str, summarize_address_range(IPv4Address(item.first), IPv4Address(item.last))))
    return tuple(map(str, summarize_address_range(IPv6Address(item.first), IPv6Address(item.last))))


def _widest(networks: list[N]) -> list[str]:
    """Networks that are in no other one; neighbours are not joined, so that people find what they wrote."""
    ordered = sorted(networks, key=lambda network: (network.prefixlen, int(network.network_address)))
    kept: list[N] = []
    for network in ordered:
        if not any(network.subnet_of(wider) for wider in kept):
            kept.append(network)
    return [str(network) for network in sorted(kept, key=lambda each: int(each.network_address))]


def _rules(networks: tuple[str, ...], protocol: Proto | None, ports: tuple[PortRange, ...]) -> list[Rule]:
    every = ALL_PORTS in ports
    spans = () if every else tuple((span.first, span.last) for span in ports)
    if protocol == "icmp":
        return [Rule(networks=networks, proto="icmp")]
    if protocol is not None:
        return [Rule(networks=networks, proto=protocol, ports=spans)]
    if every:
        return [Rule(networks=networks)]
    # Ports are those of TCP and UDP; a `ping` of what may be reached is part of it, as in a tailnet.
    return [
        Rule(networks=networks, proto="tcp", ports=spans),
        Rule(networks=networks, proto="udp", ports=spans),
        Rule(networks=networks, proto="icmp"),
    ]


def _protocol(profile: AccessProfile) -> Proto:
    assert profile.proto is not None
    found = _PROTOCOLS.get(parse_protocol(profile.proto.text))
    if found is None:
        raise UnsupportedProfileError(
            f"profile `{profile.name.text}` speaks of protocol `{profile.proto.text}`: gateways of plain "
            "WireGuard know tcp, udp and icmp"
        )
    return found
