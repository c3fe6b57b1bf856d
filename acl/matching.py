"""Which sets cover a class, and which have an entry for it: the part of reduction that looks at routes.

Here: the three reasons beside a node's own address (a subnet it routes, the internet behind an exit node, a
node inside its subnets), and the destinations of a via grant on one router. Called by `engine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acl.addresses import INTERNET, AddressRange, inside_internet
from acl.classes import NodeClass
from acl.compile import RuleTemplate
from acl.ports import PortRange
from acl.resolve import AddressSet
from acl.routes import NodeRoutes

if TYPE_CHECKING:
    from acl.engine import Engine

__all__ = ["hit_sets", "keeps_entry", "routed_parts", "takes_in_internet"]


def hit_sets(engine: Engine, cls: NodeClass) -> tuple[list[AddressSet], dict[AddressSet, bool]]:
    """What concerns a class.

    Returns:
        The sets that cover it as a source; and the sets that keep an entry for it as a destination, with
        True for those that do so only because it is an exit node (which counts for ports, not for
        capabilities).
    """
    if not cls.profile.placed:
        return [], {}
    covered = dict.fromkeys(cls.own)
    hit = dict.fromkeys(cls.own, False)
    for item_set in engine.broad:
        if item_set.shows_wildcard:
            hit[item_set] = False  # as a destination, `*` is everything
            if cls.routes.subnets:
                covered[item_set] = None  # as a source, `*` lists every approved subnet route
    if cls.profile.router is None:
        return list(covered), hit
    for item, sets in engine.by_range.items():
        routed = cls.routes.overlaps(item)
        if routed or (cls.routes.exits and inside_internet(item)):
            for item_set in sets:
                if item_set.by_node:
                    continue
                if routed:
                    covered[item_set] = None
                    hit[item_set] = False
                else:
                    hit.setdefault(item_set, True)
    if cls.inside:
        for item_set in engine.sets.values():
            if item_set.nodes & cls.inside:
                covered[item_set] = None
                hit[item_set] = False
    return list(covered), hit


def keeps_entry(engine: Engine, cls: NodeClass, item_set: AddressSet) -> bool:
    """Whether a rule about ports keeps an entry for a class: `hit_sets` for one set."""
    if not cls.profile.placed:
        return False
    if item_set in cls.own or item_set.shows_wildcard:
        return True
    if cls.profile.router is None:
        return False
    exits = bool(cls.routes.exits)
    if any(cls.routes.overlaps(item) or (exits and inside_internet(item)) for item in item_set.literals()):
        return True
    return bool(item_set.nodes & cls.inside)


def routed_parts(
    template: RuleTemplate, routes: NodeRoutes
) -> tuple[tuple[AddressRange, tuple[PortRange, ...]], ...]:
    """The destinations of a via grant that a router with one of its tags carries, as written, with their
    ports.
    """
    out: list[tuple[AddressRange, tuple[PortRange, ...]]] = []
    for target in template.targets:
        if target.text == "autogroup:internet":
            if routes.exits:
                out.extend((item, target.ports) for item in INTERNET)
        else:
            out.extend((item, target.ports) for item in target.spec.ranges if routes.overlaps(item))
    return tuple(out)


def takes_in_internet(ranges: tuple[AddressRange, ...] | list[AddressRange]) -> bool:
    """Whether the ranges hold all of the internet, in IPv4 or in IPv6."""
    return any(
        all(any(item.covers(part) for item in ranges) for part in INTERNET if part.version == version)
        for version in (4, 6)
    )
