"""The packet filter of one node.

Here: `FilterRule` and its parts, the plan of a class (which rules, merged and in order) and its filling
with a node's own addresses. Not here: which rules concern a class (`engine`); the wire form. Called by
`engine` and `index`.

Merging happens before reduction: rules with equal sources and protocols stand together at the place of the
first of them, even where that first one has nothing for this node. Capability rules are never merged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acl.addresses import AddressRange, inside_internet
from acl.classes import NodeClass, Rule
from acl.compile import CapMap, RuleKind
from acl.nodes import bits, node_addresses
from acl.ports import PortRange
from acl.resolve import AddressSet

if TYPE_CHECKING:
    from acl.engine import Engine
    from acl.facts import NodeFact

__all__ = ["CapGrant", "DstPort", "Filled", "FilterRule", "Plan", "fill_plan", "plan_of", "unreduced"]


@dataclass(frozen=True, slots=True)
class DstPort:
    """A destination (`*`, address, CIDR or `first-last`) with ports `first` to `last`."""

    ip: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class CapGrant:
    """Capabilities for destinations, given as prefixes. A value list is JSON texts; None stands for null."""

    dsts: tuple[str, ...]
    cap_map: CapMap


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRule:
    """Sources may reach `dst_ports`, or have `cap_grants`; an empty `ip_proto` means the default ones."""

    src: tuple[str, ...]
    ip_proto: tuple[int, ...] = ()
    dst_ports: tuple[DstPort, ...] = ()
    cap_grants: tuple[CapGrant, ...] = ()


@dataclass(slots=True)
class PlanRule:
    """Part of a plan: a filter rule with the node's own addresses still open."""

    place: tuple[int, int]
    source: AddressSet
    protocols: tuple[int, ...]
    targets: list[tuple[AddressSet | AddressRange, tuple[PortRange, ...]]]
    cap_map: CapMap | None


@dataclass(slots=True, eq=False)
class Filled:
    """A finished filter, with what is needed to bring it up to date when only sources changed.

    Attributes:
        plan: None once the engine it belonged to is gone; then only `rules` is of use.
        parts: one item for each rule of the plan; None where the node has no entry.
        rules: the filter.
    """

    plan: Plan | None
    version: int
    parts: list[FilterRule | None]
    rules: tuple[FilterRule, ...]


@dataclass(slots=True, eq=False)
class Plan:
    """The filter of a class, but for the node's own addresses and the current strings of the sources.

    Attributes:
        open: whether some rule names the node's own addresses; if not, all members share one filter.
        version: grows when the nodes of some source change.
        shared: the finished filter of a plan that is not open.
    """

    rules: list[PlanRule]
    open: bool
    version: int = 0
    shared: Filled | None = None

    def signature(self, engine: Engine) -> tuple[object, ...]:
        """Equal for two plans that fill to equal filters for every node, whatever engines they belong to."""
        listed = frozenset(engine.routes.holders)
        out: list[object] = []
        for rule in self.rules:
            targets = tuple(
                (target if isinstance(target, AddressRange) else (target.spec, target.owner), ports)
                for target, ports in rule.targets
            )
            routes = listed if rule.source.shows_wildcard else None
            out.append((rule.source.key, routes, rule.protocols, targets, rule.cap_map))
        return tuple(out)


def _targets(rule: Rule) -> list[tuple[AddressSet | AddressRange, tuple[PortRange, ...]]]:
    return [*rule.targets] if rule.targets else [*rule.routed]


def _build_plan(engine: Engine, cls: NodeClass) -> Plan:
    """The rules of a class, merged, in the order of its filter."""
    leads: dict[tuple[object, tuple[int, ...]], int] = {}
    merged: dict[tuple[object, tuple[int, ...]], PlanRule] = {}
    out: list[PlanRule] = []
    opened = bool(cls.inside)
    for rule in cls.hit:
        template = rule.template
        if template.kind is RuleKind.CAPABILITY:
            place = (template.ordinal, 0)
            out.append(PlanRule(place, rule.source, (), _targets(rule), template.cap_map))
            opened = True
        elif template.kind is RuleKind.PORTS and not rule.source.is_empty():
            opened = opened or any(
                target in cls.own and not (target.shows_wildcard or target.literals())
                for target, _ in rule.targets
            )
            key = (rule.source.key, template.protocols)
            first = merged.get(key)
            if first is None:
                lead = leads.get(key)
                if lead is None:
                    lead = leads[key] = engine.lead(rule, cls)
                first = merged[key] = PlanRule(
                    (lead, 0), rule.source, template.protocols, _targets(rule), None
                )
                out.append(first)
            else:
                first.targets = first.targets + _targets(rule)
    out.sort(key=lambda item: item.place)
    return Plan(out, opened)


def plan_of(engine: Engine, cls: NodeClass) -> Plan:
    """The plan of a class, made when there is no good one."""
    if cls.plan is None:
        cls.plan = _build_plan(engine, cls)
    return cls.plan


def _kept_ranges(
    cls: NodeClass, node: NodeFact, target: AddressSet, *, exits: bool
) -> Iterator[AddressRange]:
    """The ranges of a destination that concern a node: its address, its subnets, the internet behind it."""
    own = node_addresses(node)
    for item in target.literals():
        if (
            any(item.holds(version, number) for version, number in own)
            or cls.routes.overlaps(item)
            or (exits and cls.routes.exits and inside_internet(item))
        ):
            yield item


def _routed_strings(engine: Engine, cls: NodeClass, target: AddressSet) -> list[str]:
    """Addresses of other nodes of the destination that lie in the router's subnets."""
    out: list[tuple[int, int, str]] = []
    for index in bits(target.nodes & cls.inside):
        pairs = zip(engine.nodes.strings(index), node_addresses(engine.nodes.by_index[index]), strict=True)
        for text, (version, number) in pairs:
            if any(item.holds(version, number) for _, item in cls.routes.subnets):
                out.append((version, number, text))
    return [text for _, _, text in sorted(out)]


def _destinations(
    engine: Engine, cls: NodeClass, node: NodeFact, target: AddressSet | AddressRange
) -> list[str]:
    if isinstance(target, AddressRange):
        return [target.text]
    if target.shows_wildcard:
        return ["*"]
    out: list[str] = []
    if target.nodes >> node.index & 1:
        out.extend(target.addresses_of(engine.nodes, node.index))
    if cls.inside:
        out.extend(_routed_strings(engine, cls, target))
    out.extend(item.text for item in _kept_ranges(cls, node, target, exits=True))
    return out


def _granted(
    engine: Engine, cls: NodeClass, node: NodeFact, target: AddressSet | AddressRange
) -> tuple[str, ...]:
    """A capability's destinations on one node: its own addresses, and prefixes it routes."""
    if isinstance(target, AddressRange):
        return (target.prefix_text,)
    own = engine.nodes.strings(node.index)
    kept: dict[str, None] = {}
    for text, (version, number) in zip(own, node_addresses(node), strict=True):
        if target.shows_wildcard or any(item.holds(version, number) for item in target.literals()):
            kept[f"{text}/{32 if version == 4 else 128}"] = None
    texts = [*(target.addresses_of(engine.nodes, node.index) if target.nodes >> node.index & 1 else ())]
    if cls.inside:
        texts.extend(_routed_strings(engine, cls, target))
    for text in texts:
        kept[f"{text}/{128 if ':' in text else 32}"] = None
    for item in target.literals():
        if cls.routes.overlaps(item):
            kept[item.prefix_text] = None
    return tuple(kept)


def _fill_rule(engine: Engine, cls: NodeClass, rule: PlanRule, node: NodeFact) -> FilterRule | None:
    """One rule for one node; None when nothing of it concerns the node."""
    src = engine.strings(rule.source)
    if rule.cap_map is not None:
        granted = (_granted(engine, cls, node, target) for target, _ in rule.targets)
        grants = tuple(CapGrant(dsts, rule.cap_map) for dsts in granted if dsts)
        return FilterRule(src=src, cap_grants=grants) if grants else None
    entries = tuple(
        DstPort(text, port.first, port.last)
        for target, ports in rule.targets
        for text in _destinations(engine, cls, node, target)
        for port in ports
    )
    return FilterRule(src=src, ip_proto=rule.protocols, dst_ports=entries) if entries else None


def _with_current_source(engine: Engine, rule: PlanRule, part: FilterRule | None) -> FilterRule | None:
    if part is None:
        return None
    src = engine.strings(rule.source)
    if src is part.src or src == part.src:
        return part
    return FilterRule(src=src, ip_proto=part.ip_proto, dst_ports=part.dst_ports, cap_grants=part.cap_grants)


def fill_plan(engine: Engine, cls: NodeClass, plan: Plan, node: NodeFact, previous: Filled | None) -> Filled:
    """The filter of one node of a class.

    Args:
        previous: what this returned for the node before. Parts that are still right are used again, and a
            filter with the same content is the same object, so identity tells whether anything changed.
    """
    if plan.shared is not None:
        previous = plan.shared
    if previous is not None and previous.plan is plan:
        if previous.version == plan.version:
            return previous
        parts = [
            _with_current_source(engine, rule, part)
            for rule, part in zip(plan.rules, previous.parts, strict=True)
        ]
    else:
        parts = [_fill_rule(engine, cls, rule, node) for rule in plan.rules]
    rules = tuple(part for part in parts if part is not None)
    former = cls.former if not plan.open else None if previous is None else previous.rules
    if former == rules:
        rules = former
    filled = Filled(plan, plan.version, parts, rules)
    if not plan.open:
        plan.shared = filled
        cls.former = rules
    return filled


def unreduced(engine: Engine) -> tuple[FilterRule, ...]:
    """The global rules as they are before any node's share is cut out, unmerged and in order.

    Self and via rules are missing: they exist only for particular nodes.
    """
    out: list[FilterRule] = []
    for rule in engine.rules:
        src = engine.strings(rule.source)
        if rule.template.kind is RuleKind.CAPABILITY:
            grants = tuple(
                CapGrant(tuple(prefix for prefix in _all_prefixes(engine, target)), rule.template.cap_map)
                for target, _ in rule.targets
            )
            out.append(FilterRule(src=src, cap_grants=grants))
        elif src:
            entries = tuple(
                DstPort(text, port.first, port.last)
                for target, ports in rule.targets
                for text in _all_strings(engine, target)
                for port in ports
            )
            out.append(FilterRule(src=src, ip_proto=rule.template.protocols, dst_ports=entries))
    return tuple(out)


def _all_strings(engine: Engine, target: AddressSet) -> list[str]:
    if target.shows_wildcard:
        return ["*"]
    out = [text for index in bits(target.nodes) for text in target.addresses_of(engine.nodes, index)]
    return [*out, *(item.text for item in target.literals())]


def _all_prefixes(engine: Engine, target: AddressSet) -> list[str]:
    if target.shows_wildcard:
        return ["*"]
    out = [text for index in bits(target.nodes) for text in target.addresses_of(engine.nodes, index)]
    prefixes = [f"{text}/{128 if ':' in text else 32}" for text in out]
    return [*prefixes, *(item.prefix_text for item in target.literals())]
