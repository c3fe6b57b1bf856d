"""Nodes coming and going: the steps that keep an engine's state exact, and who is affected by each.

Here: `load`, `add`, `remove` and `refresh_record`; the last three return the bit set of nodes whose answers
may differ afterwards. Not here: what the answers are (`packet_filter`, `visibility`, `ssh`). Called by
`engine` and `index`.

Who is named, and why that is enough: a node's row says who sees it; every rule that lists its addresses as
a source belongs to the filter of somebody in that row. Beyond the row there are only: receivers of SSH
rules, filters whose rules change order (`Engine.rekey`), filters that list subnet routes (`*`), viewers of
routers whose primary changes, and routers whose subnets hold the node's address (they act for it, so they
are placed anew).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from acl.facts import NodeFact
from acl.nodes import bits, node_addresses
from acl.routes import NodeRoutes, node_routes

if TYPE_CHECKING:
    from acl.classes import NodeClass
    from acl.engine import Engine

__all__ = ["add", "load", "refresh_record", "remove", "replace_node"]


def load(engine: Engine, nodes: Iterable[NodeFact]) -> None:
    """Add many nodes to an empty engine at once."""
    routed: list[tuple[NodeFact, NodeRoutes]] = []
    for node in nodes:
        routes = node_routes(node)
        engine.nodes.add(node)
        routed.append((node, routes))
        _enter_routes(engine, node, routes)
    fresh: list[tuple[NodeClass, NodeFact]] = []
    for node, routes in routed:
        cls, new = engine.class_for(node, routes)
        if new:
            fresh.append((cls, node))
        _seat(engine, cls, node)
    # Routers look at who is inside their subnets, so all memberships come before all connections.
    for cls, node in fresh:
        engine.connect(cls, node)
    engine.rekey(item_set for item_set in engine.sets.values() if item_set.is_source)


def _enter_routes(engine: Engine, node: NodeFact, routes: NodeRoutes) -> None:
    engine.routes.add(node, routes)
    for _, item in routes.subnets:
        engine.router_ranges.add(item, node.id)
    if node.approved_routes:
        engine.routers |= 1 << node.index
        engine.views_epoch += 1


def _leave_routes(engine: Engine, node: NodeFact, routes: NodeRoutes) -> None:
    engine.routes.remove(node, routes)
    for _, item in routes.subnets:
        engine.router_ranges.discard(item, node.id)
    engine.routers &= ~(1 << node.index)
    engine.views_epoch += 1


def _seat(engine: Engine, cls: NodeClass, node: NodeFact) -> None:
    bit = 1 << node.index
    cls.members |= bit
    engine.class_of[node.index] = cls
    for item_set in cls.whole:
        item_set.add(bit, whole=True)
    for item_set in cls.narrowed:
        item_set.add(bit, whole=False)


def _place(engine: Engine, node: NodeFact, routes: NodeRoutes) -> int:
    cls, new = engine.class_for(node, routes)
    if new:
        engine.connect(cls, node)
    _seat(engine, cls, node)
    bit = 1 << node.index
    for class_id in bits(cls.adjacent):
        other = engine.classes[class_id]
        if other.row is not None:
            other.row |= bit
    return engine.row(cls) | bit | _sources_changed(engine, cls) | engine.ssh.affected(node)


def _withdraw(engine: Engine, node: NodeFact) -> tuple[NodeClass, int]:
    """Undo `_place`, except for what needs the node gone from the table (`_sources_changed`)."""
    cls = engine.class_of.pop(node.index)
    bit = 1 << node.index
    changed = engine.row(cls) | bit | engine.ssh.affected(node)
    for item_set in (*cls.whole, *cls.narrowed):
        item_set.drop_node_strings(engine.nodes, node.index)
        item_set.remove(bit)
    cls.members &= ~bit
    for class_id in bits(cls.adjacent):
        other = engine.classes[class_id]
        if other.row is not None:
            other.row &= ~bit
    engine.odd &= ~bit
    if not cls.members:
        engine.disconnect(cls)
    return cls, changed


def _sources_changed(engine: Engine, cls: NodeClass) -> int:
    """The sets of a class gained or lost a member: their filters are outdated, and may change order."""
    stale = 0
    sets = [item_set for item_set in (*cls.whole, *cls.narrowed) if item_set.is_source]
    for item_set in sets:
        stale |= item_set.target_classes
    singles = [item_set for item_set in cls.own if item_set.has_single and item_set.is_source]
    reordered = engine.rekey(dict.fromkeys([*sets, *singles]))
    engine.outdated(stale)
    engine.stale(reordered)
    return engine.members(reordered) if reordered else 0


def _routes_listed(engine: Engine) -> int:
    """The set of approved subnet routes changed, and with it what `*` is as a source."""
    stale = 0
    sets = [item_set for item_set in engine.broad if item_set.shows_wildcard and item_set.is_source]
    for item_set in sets:
        item_set.forget_strings()
        stale |= item_set.target_classes
    stale |= engine.rekey(sets)
    engine.stale(stale)
    changed = engine.members(stale)
    for index in list(bits(engine.odd)):
        changed |= replace_node(engine, engine.nodes.by_index[index])
    return changed


def replace_node(engine: Engine, node: NodeFact) -> int:
    """Place a node anew although nothing about itself changed."""
    cls, changed = _withdraw(engine, node)
    changed |= _sources_changed(engine, cls)
    changed |= _place(engine, node, node_routes(node))
    engine.views_epoch += 1
    return changed


def _viewers(engine: Engine, routes: NodeRoutes) -> int:
    """Everybody who sees a router that has one of these routes, and those routers."""
    out = 0
    for text, _ in routes.subnets:
        for holder in engine.routes.holders.get(text, ()):
            cls = engine.class_of.get(holder.index)
            if cls is not None:
                out |= engine.row(cls) | 1 << holder.index
    return out


def _shadowing(engine: Engine, node: NodeFact) -> set[int]:
    """Ids of other routers whose subnets hold an address of the node."""
    ids = {router for address in node_addresses(node) for router in engine.router_ranges.holding(*address)}
    return ids - {node.id}


def _refresh_shadowing(engine: Engine, node: NodeFact) -> int:
    changed = 0
    for router in _shadowing(engine, node):
        changed |= replace_node(engine, engine.nodes.by_id[router])
        changed |= _viewers(engine, node_routes(engine.nodes.by_id[router]))
    return changed


def _carriers(engine: Engine, routes: NodeRoutes) -> list[list[int]]:
    """For each route of a node: its primary, and whom each via grant would send traffic through."""
    out = []
    for text, _ in routes.subnets:
        holders = engine.routes.holders[text]
        found = [engine.routes.first(holders).id]
        for template in engine.via_templates:
            tagged = [holder for holder in holders if not set(template.via).isdisjoint(holder.tags)]
            found.append(engine.routes.first(tagged).id if tagged else 0)
        out.append(found)
    return out


def refresh_record(engine: Engine, node: NodeFact) -> int:
    """Take a new record of a node whose place is the same; only being online may matter, for its routes."""
    routes = node_routes(node)
    before = _carriers(engine, routes)
    engine.nodes.update(node)
    engine.routes.update(node, routes)
    after = _carriers(engine, routes)
    moved = tuple(route for route, old, new in zip(routes.subnets, before, after, strict=True) if old != new)
    if not moved:
        return 0
    engine.views_epoch += 1
    return _viewers(engine, NodeRoutes(subnets=moved))


def add(engine: Engine, node: NodeFact) -> int:
    """Add a node that is not there."""
    routes = node_routes(node)
    listed = set(engine.routes.holders)
    changed = _viewers(engine, routes)
    engine.nodes.add(node)
    _enter_routes(engine, node, routes)
    changed |= _place(engine, node, routes)
    changed |= _refresh_shadowing(engine, node)
    if routes.subnets:
        if set(engine.routes.holders) != listed:
            changed |= _routes_listed(engine)
        changed |= _viewers(engine, routes)
    return changed


def remove(engine: Engine, node: NodeFact) -> int:
    """Remove a node that is there."""
    routes = node_routes(node)
    listed = set(engine.routes.holders)
    changed = _viewers(engine, routes)
    cls, seen = _withdraw(engine, node)
    engine.nodes.remove(node)
    if node.approved_routes:
        _leave_routes(engine, node, routes)
    changed |= seen | _sources_changed(engine, cls)
    changed |= _refresh_shadowing(engine, node)
    if routes.subnets:
        if set(engine.routes.holders) != listed:
            changed |= _routes_listed(engine)
        changed |= _viewers(engine, routes)
    if node.owner is not None and node.owner not in engine.nodes.owned:
        engine.drop_owner(node.owner)
    return changed
