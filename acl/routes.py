"""Approved routes: who has which, and who is primary.

Here: the routes of one node apart into subnets and exit routes, and the table over all nodes. Not here: who
may use a route (`visibility`), who gets one approved (`auto_approvers`). Called by `engine` and
`visibility`.
"""

from __future__ import annotations

from dataclasses import dataclass

from acl.addresses import EXIT_ROUTES, AddressRange, parse_prefix
from acl.facts import NodeFact

__all__ = ["NodeRoutes", "RouteTable", "node_routes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRoutes:
    """The approved routes of one node; texts as given. A text that is no prefix is left out."""

    subnets: tuple[tuple[str, AddressRange], ...] = ()
    exits: tuple[str, ...] = ()

    def overlaps(self, item: AddressRange) -> bool:
        """Whether a subnet route overlaps a range."""
        return any(item.overlaps(other) for _, other in self.subnets)


def node_routes(node: NodeFact) -> NodeRoutes:
    subnets: list[tuple[str, AddressRange]] = []
    exits: list[str] = []
    for text in dict.fromkeys(node.approved_routes):
        if text in EXIT_ROUTES:
            exits.append(text)
            continue
        found = parse_prefix(text)
        if found is not None:
            subnets.append((text, found))
    return NodeRoutes(subnets=tuple(subnets), exits=tuple(exits))


class RouteTable:
    """All approved subnet routes and the nodes that have them, first-joined first."""

    def __init__(self) -> None:
        self.holders: dict[str, list[NodeFact]] = {}

    def add(self, node: NodeFact, routes: NodeRoutes) -> None:
        for text, _ in routes.subnets:
            nodes = self.holders.setdefault(text, [])
            nodes.append(node)
            nodes.sort(key=lambda holder: (holder.created_order, holder.id))

    def remove(self, node: NodeFact, routes: NodeRoutes) -> None:
        for text, _ in routes.subnets:
            nodes = [holder for holder in self.holders[text] if holder.id != node.id]
            if nodes:
                self.holders[text] = nodes
            else:
                del self.holders[text]

    def update(self, node: NodeFact, routes: NodeRoutes) -> None:
        """Put a new record in the place of one with the same id, routes and joining order."""
        for text, _ in routes.subnets:
            self.holders[text] = [node if holder.id == node.id else holder for holder in self.holders[text]]

    def primary(self, route: str) -> NodeFact | None:
        """The node that carries a route: of those online the one that joined first.

        With none online it is the first-joined one, so that a restart of the server, after which everybody is
        offline for a moment, takes no route away from anybody.
        """
        nodes = self.holders.get(route)
        return self.first(nodes) if nodes else None

    @staticmethod
    def first(nodes: list[NodeFact]) -> NodeFact:
        """The preferred one of some holders, given in joining order."""
        return next((node for node in nodes if node.online), nodes[0])
