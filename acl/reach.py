"""What an address that is no node may reach, and who may reach it, by the rules in force.

Here: the answer for the machine that forwards for such an address, as networks, protocols and ports. Not
here: the filters of nodes (`packet_filter`), which say the same about it to everybody else. Called for
plain WireGuard peers, whose gateway has to hold them to the policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from acl.addresses import AddressRange, Version, merge_ranges, parse_range
from acl.compile import RuleKind
from acl.engine import Engine
from acl.policy_tests import spec_holds
from acl.ports import ALL_PORTS
from acl.resolve import AddressSet

__all__ = ["Reach", "ReachRule", "reach_of"]

Address = tuple[Version, int]


@dataclass(frozen=True, slots=True, order=True)
class ReachRule:
    """CIDRs of the other side. No protocols: the default ones; no ports: all of them."""

    networks: tuple[str, ...]
    protocols: tuple[int, ...]
    ports: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Reach:
    """Both directions for one machine; sorted, so that equal answers are equal values."""

    outbound: tuple[ReachRule, ...] = ()
    inbound: tuple[ReachRule, ...] = ()


def reach_of(engine: Engine, addresses: Sequence[Address]) -> Reach:
    """What a machine with these addresses may reach, and who may reach it.

    Rules between a user's own nodes are none of its business: it is no node.
    """
    outbound: set[ReachRule] = set()
    inbound: set[ReachRule] = set()
    routes = tuple(engine.routes.holders)
    for rule in (*engine.rules, *engine.opened):
        template = rule.template
        if template.kind is not RuleKind.PORTS:
            continue
        means_it = _means(engine, rule.source, addresses, source=True)
        for target, ports in rule.targets:
            spans = () if ALL_PORTS in ports else tuple((item.first, item.last) for item in ports)
            if means_it and (networks := _networks(engine, target, routes)):
                outbound.add(ReachRule(networks, template.protocols, spans))
            if _means(engine, target, addresses, source=False) and (
                networks := _networks(engine, rule.source, routes)
            ):
                inbound.add(ReachRule(networks, template.protocols, spans))
    return Reach(tuple(sorted(outbound)), tuple(sorted(inbound)))


def _means(engine: Engine, item_set: AddressSet, addresses: Iterable[Address], *, source: bool) -> bool:
    spec, owner = item_set.spec, item_set.owner
    return any(spec_holds(engine, spec, owner, address, source=source) for address in addresses)


def _networks(engine: Engine, item_set: AddressSet, routes: tuple[str, ...]) -> tuple[str, ...]:
    """The set as CIDRs. `*` is the tailnet and what its routers have, as in the filters of nodes."""
    texts = item_set.strings(engine.nodes, routes)
    if texts == ("*",):
        return ("0.0.0.0/0", "::/0")
    ranges = (item for item in map(parse_range, texts) if item is not None)
    return tuple(cidr for item in merge_ranges(ranges) for cidr in _cidrs(item))


def _cidrs(item: AddressRange) -> Iterable[str]:
    kind = IPv4Address if item.version == 4 else IPv6Address
    return (str(network) for network in summarize_address_range(kind(item.first), kind(item.last)))
