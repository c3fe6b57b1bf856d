"""Equivalence classes of nodes and instantiated rules.

Here: the two records the engine's work turns on. A class is all nodes with equal `Profile`; every question
about visibility, filters and capabilities has one answer per class (up to the node's own addresses). Not
here: how they are built and kept (`engine`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acl.addresses import AddressRange
from acl.compile import CapMap, RuleTemplate
from acl.ports import PortRange
from acl.resolve import AddressSet, Profile
from acl.routes import NodeRoutes

if TYPE_CHECKING:
    from acl.packet_filter import FilterRule, Plan
    from acl.visibility import PeerRoutes

__all__ = ["NodeClass", "Rule"]

NO_ROUTES = NodeRoutes()


class Rule:
    """A template with its sets: one for a global rule, one per user for a self rule, one per router for via.

    Attributes:
        targets: sets and ports; empty for a via rule, which has `routed` instead.
        routed: the destinations a via rule has on its one router.
        target_classes: bit set of the classes with a filter entry from this rule.
    """

    __slots__ = ("owner", "routed", "source", "target_classes", "targets", "template")

    def __init__(
        self,
        template: RuleTemplate,
        source: AddressSet,
        targets: tuple[tuple[AddressSet, tuple[PortRange, ...]], ...],
        *,
        owner: int | None = None,
        routed: tuple[tuple[AddressRange, tuple[PortRange, ...]], ...] = (),
    ) -> None:
        self.template = template
        self.source = source
        self.targets = targets
        self.owner = owner
        self.routed = routed
        self.target_classes = 0


class NodeClass:
    """All nodes with one profile.

    Attributes:
        id: position of the class's bit in bit sets of classes; reused after the class is gone.
        members: bit set of node indices.
        routes: of the single member, when that is a router.
        inside: bit set of other nodes whose addresses lie in the router's subnet routes: for them it acts,
            too.
        whole, narrowed: the address sets that list the members' addresses.
        covered_by: sets that cover the class as a source.
        own: sets that hold an address of the members themselves (not of their routes).
        hit: rules with a filter entry for the class, by ordinal.
        adjacent: bit set of the classes it sees and is seen by.
        row: bit set of all visible nodes, members of the class itself included when they see each other;
            None until asked for.
        plan, former: the filter's plan while it is good, and the last finished filter all members shared.
        views, views_epoch: routes of routers as the class sees them, good for one epoch of the engine.
        attributes: capabilities the policy puts on the members.
    """

    __slots__ = (
        "adjacent",
        "attributes",
        "covered_by",
        "former",
        "hit",
        "id",
        "inside",
        "members",
        "narrowed",
        "own",
        "plan",
        "profile",
        "routes",
        "row",
        "via_rules",
        "views",
        "views_epoch",
        "whole",
    )

    def __init__(self, class_id: int, profile: Profile) -> None:
        self.id = class_id
        self.profile = profile
        self.members = 0
        self.routes = NO_ROUTES
        self.inside = 0
        self.whole: list[AddressSet] = []
        self.narrowed: list[AddressSet] = []
        self.own: set[AddressSet] = set()
        self.covered_by: list[AddressSet] = []
        self.hit: list[Rule] = []
        self.via_rules: list[Rule] = []
        self.adjacent = 0
        self.row: int | None = None
        self.plan: Plan | None = None
        self.former: tuple[FilterRule, ...] | None = None
        self.views: dict[int, PeerRoutes] = {}
        self.views_epoch = -1
        self.attributes: CapMap = ()
