"""What one node sees of another: addresses, routes and capabilities of a peer; and what it sees of itself.

Here: `PeerView`, `SelfView` and the four reasons for which a peer's route is shown. Not here: whether the
peer is seen at all (`engine.Engine.row`, derived from the same rules). Called by `index`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acl.addresses import AddressRange
from acl.compile import CapMap, RuleKind, Scope
from acl.matching import takes_in_internet
from acl.node_attributes import disables_ipv4
from acl.nodes import node_addresses

if TYPE_CHECKING:
    from acl.classes import NodeClass, Rule
    from acl.engine import Engine
    from acl.facts import NodeFact
    from acl.hujson import Json

__all__ = ["PeerRoutes", "PeerView", "SelfView", "peer_routes", "peer_view", "prefixes"]

SUGGEST_EXIT_NODE: CapMap = (("suggest-exit-node", None),)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerView:
    """A peer as one viewer sees it; all addresses and routes are prefixes as text."""

    addresses: tuple[str, ...]
    allowed_ips: tuple[str, ...]
    primary_routes: tuple[str, ...] = ()
    caps: CapMap = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfView:
    """A node as it sees itself. `cap_map` has None for a capability without values."""

    addresses: tuple[str, ...]
    allowed_ips: tuple[str, ...]
    primary_routes: tuple[str, ...] = ()
    cap_map: Mapping[str, tuple[Json, ...] | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRoutes:
    """The routes of a router that one class of viewers gets."""

    subnets: tuple[str, ...] = ()
    exits: tuple[str, ...] = ()


NOTHING = PeerRoutes()


def prefixes(node: NodeFact, *, without_ipv4: bool) -> tuple[str, ...]:
    """The node's addresses as `/32` and `/128`."""
    out = []
    if node.ipv4 is not None and not without_ipv4:
        out.append(f"{node.ipv4}/32")
    if node.ipv6 is not None:
        out.append(f"{node.ipv6}/128")
    return tuple(out)


def _counts(rule: Rule) -> bool:
    """Via rules show routes by a reason of their own."""
    return rule.template.scope is not Scope.VIA


def _has_destination_in(
    engine: Engine, rule: Rule, router: NodeClass, node: NodeFact, route: AddressRange
) -> bool:
    """Whether a rule's entries in the router's filter overlap one of its routes."""
    inside = engine.nodes.inside(route)
    own = any(route.holds(version, number) for version, number in node_addresses(node))
    for target, _ in rule.targets:
        if target.shows_wildcard and (own or rule.template.kind is RuleKind.PORTS):
            return True  # a capability for `*` is cut down to the node's own addresses
        if any(route.overlaps(item) for item in target.literals()) or target.nodes & inside:
            return True
    return False


def _admits(
    engine: Engine, viewer: NodeClass, router: NodeClass, node: NodeFact, route: AddressRange
) -> bool:
    """Some rule in the router's filter lets the viewer at the route."""
    rules = engine.route_rules.get((node.id, route))
    if rules is None:
        rules = [r for r in router.hit if _counts(r) and _has_destination_in(engine, r, router, node, route)]
        engine.route_rules[node.id, route] = rules
    return any(rule.source.cover_classes >> viewer.id & 1 for rule in rules)


def _is_reached_from(engine: Engine, viewer: NodeClass, route: AddressRange) -> bool:
    """Some rule in the viewer's filter lets the route in: then the viewer must know the way back."""
    rules = engine.route_rules.get((None, route))
    if rules is None:
        inside = engine.nodes.inside(route)
        sets = [item_set for item_set in engine.sets.values() if item_set.overlaps(route, inside)]
        rules = [rule for item_set in sets for rule in item_set.as_source if _counts(rule)]
        engine.route_rules[None, route] = rules
    return any(rule.target_classes >> viewer.id & 1 for rule in rules)


def _via(engine: Engine, viewer: NodeClass, node: NodeFact, text: str, route: AddressRange) -> bool:
    """A via grant sends the viewer's traffic for the route through this node."""
    holders = engine.routes.holders[text]
    for template in engine.via_templates:
        if template.kind is not RuleKind.LINK:
            continue
        if not engine.address_set(template.source).cover_classes >> viewer.id & 1:
            continue
        routed = (item for t in template.targets if t.text != "autogroup:internet" for item in t.spec.ranges)
        carriers = [holder for holder in holders if not set(template.via).isdisjoint(holder.tags)]
        if (
            carriers
            and engine.routes.first(carriers).id == node.id
            and any(route.overlaps(i) for i in routed)
        ):
            return True
    return False


def _subnet_shown(engine: Engine, viewer: NodeClass, router: NodeClass, node: NodeFact, text: str) -> bool:
    route = next(item for name, item in router.routes.subnets if name == text)
    primary = engine.routes.primary(text)
    is_primary = primary is not None and primary.id == node.id
    back = _is_reached_from(engine, viewer, route)
    if is_primary and (back or _admits(engine, viewer, router, node, route)):
        return True
    if is_primary and any(name == text for name, _ in viewer.routes.subnets):
        return True  # routers of one subnet know which of them carries it
    if not _via(engine, viewer, node, text, route):
        return False
    # Whoever gets at the subnet without the via grant uses its primary.
    return not back and not any(
        _admits(engine, viewer, engine.class_of[holder.index], holder, route)
        for holder in engine.routes.holders[text]
    )


def _internet_admitted(viewer: NodeClass, router: NodeClass) -> bool:
    for rule in router.hit:
        if rule.template.kind is not RuleKind.PORTS or not rule.source.cover_classes >> viewer.id & 1:
            continue
        if any(t.shows_wildcard or takes_in_internet(t.literals()) for t, _ in rule.targets):
            return True
        if rule.routed and takes_in_internet([item for item, _ in rule.routed]):
            return True
    return False


def peer_routes(engine: Engine, viewer: NodeClass, node: NodeFact) -> PeerRoutes:
    """The routes of a visible router that every member of a class gets."""
    if not node.approved_routes:
        return NOTHING
    if engine.route_rules_epoch != engine.views_epoch:
        engine.route_rules.clear()
        engine.route_rules_epoch = engine.views_epoch
    if viewer.views_epoch != engine.views_epoch:
        viewer.views.clear()
        viewer.views_epoch = engine.views_epoch
    found = viewer.views.get(node.id)
    if found is None:
        router = engine.class_of[node.index]
        subnets = tuple(
            text for text, _ in router.routes.subnets if _subnet_shown(engine, viewer, router, node, text)
        )
        exits = router.routes.exits if router.routes.exits and _internet_admitted(viewer, router) else ()
        found = viewer.views[node.id] = PeerRoutes(subnets=subnets, exits=exits)
    return found


def peer_view(engine: Engine, viewer: NodeClass | None, node: NodeFact) -> PeerView:
    """A peer as a class of viewers sees it; without a viewer, as those see it who get none of its routes."""
    without_ipv4 = disables_ipv4(engine.class_of[node.index].attributes)
    routes = NOTHING
    if viewer is not None:
        without_ipv4 = without_ipv4 or disables_ipv4(viewer.attributes)
        routes = peer_routes(engine, viewer, node)
    addresses = prefixes(node, without_ipv4=without_ipv4)
    return PeerView(
        addresses=addresses,
        allowed_ips=(*addresses, *sorted((*routes.subnets, *routes.exits))),
        primary_routes=tuple(sorted(routes.subnets)),
        caps=SUGGEST_EXIT_NODE if routes.exits else (),
    )
