"""Capabilities the policy puts on nodes: `nodeAttrs`, `randomizeClientPort`, `OneCGNATRoute`, and address
pools.

Here: which attributes a class of nodes has, what they bring along, and which pool a new node draws from.
Not here: the capabilities every node of the server has (they are no matter of policy). Called by `engine`
and `index`.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from acl.addresses import make_range, parse_prefix
from acl.compile import CapMap
from acl.document import NodeAttribute, Policy

if TYPE_CHECKING:
    from acl.classes import NodeClass
    from acl.engine import Engine
    from acl.facts import NodeFact
    from acl.resolve import AddressSet

__all__ = ["DISABLE_IPV4", "AttributeTable"]

DISABLE_IPV4 = "disable-ipv4"
# Funnel on a tailnet without HTTPS certificates: the client shows the warning and knows the ports.
_IMPLIED = {
    "funnel": (
        "https://tailscale.com/cap/warn-funnel-no-https",
        "https://tailscale.com/cap/funnel-ports?ports=443,8443,10000",
    )
}
_CGNAT_ROUTE = {"mac-always": "one-cgnat?v=true", "mac-never": "one-cgnat?v=false"}


class AttributeTable:
    """The attribute entries of one policy."""

    def __init__(self, policy: Policy | None, engine: Engine) -> None:
        self._entries: list[tuple[AddressSet, NodeAttribute]] = []
        self._everywhere: list[str] = []
        if policy is None:
            return
        for entry in policy.node_attributes:
            self._entries.append((engine.address_set(engine.maker.words(entry.target)), entry))
        if policy.disable_ipv4:
            self._everywhere.append(DISABLE_IPV4)
        if policy.randomize_client_port:
            self._everywhere.append("randomize-client-port")
        if policy.one_cgnat_route in _CGNAT_ROUTE:
            self._everywhere.append(_CGNAT_ROUTE[policy.one_cgnat_route])

    def of_class(self, cls: NodeClass) -> CapMap:
        """The capabilities of a class; values of several app entries for one capability are listed one
        after another.
        """
        found: dict[str, tuple[str, ...] | None] = dict.fromkeys(self._everywhere)
        for target, entry in self._entries:
            if target not in cls.own:
                continue
            for word in entry.attr:
                found.update(dict.fromkeys((word.text, *_IMPLIED.get(word.text, ()))))
            for capability in entry.app:
                name = capability.name.text
                found[name] = (*(found.get(name) or ()), *(capability.values or ()))
        return tuple(found.items())

    def pool(self, engine: Engine, node: NodeFact) -> tuple[IPv4Network, ...]:
        """The IPv4 pools a new node may draw from; empty for no restriction.

        A new node has no address yet, so targets count by identity (and `*`) only; of several entries the
        first one with a pool decides.
        """
        identities = engine.identities(node.owner, node.tags)
        for target, entry in self._entries:
            if entry.ip_pool and (target.spec.wildcard or not identities.isdisjoint(target.spec.identities)):
                ranges = (parse_prefix(word.text.strip()) for word in entry.ip_pool)
                return tuple(
                    IPv4Network(make_range(4, item.first, item.last).prefix_text)
                    for item in ranges
                    if item is not None and item.version == 4
                )
        return ()


def disables_ipv4(attributes: CapMap) -> bool:
    """Whether these capabilities take IPv4 away from a node."""
    return any(name == DISABLE_IPV4 for name, _ in attributes)
