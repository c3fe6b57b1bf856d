"""What a new policy, or new users, change for whom.

Here: the comparison of two engines over the same nodes, class by class. Called by `index`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acl.node_attributes import disables_ipv4
from acl.nodes import bits
from acl.packet_filter import plan_of
from acl.visibility import peer_routes

if TYPE_CHECKING:
    from acl.classes import NodeClass
    from acl.engine import Engine

__all__ = ["changed_nodes"]


def changed_nodes(old: Engine, new: Engine) -> int:
    """Bit set of the nodes whose peers, peer routes, filter, SSH rules or capabilities differ.

    Both engines hold the same nodes. The work is done once for each pair of (old class, new class) that
    occurs.
    """
    pairs: dict[tuple[int, int], int] = {}
    for index, cls in old.class_of.items():
        pair = (cls.id, new.class_of[index].id)
        pairs[pair] = pairs.get(pair, 0) | 1 << index
    out = 0
    signatures: dict[tuple[int, int], tuple[object, ...]] = {}
    for (old_id, new_id), members in pairs.items():
        before, after = old.classes[old_id], new.classes[new_id]
        if disables_ipv4(before.attributes) != disables_ipv4(after.attributes):
            out |= old.row(before) | new.row(after)
        if before.attributes != after.attributes or _differs(old, new, before, after, members, signatures):
            out |= members
    if old.facts.auto_updates != new.facts.auto_updates:
        return _everybody(new)
    if old.policy is None or new.policy is None or old.ssh.entries or new.ssh.entries:
        out |= _ssh_differences(old, new, out)
    return out | _role_differences(old, new)


def _everybody(engine: Engine) -> int:
    out = 0
    for cls in engine.classes.values():
        out |= cls.members
    return out


def _differs(
    old: Engine,
    new: Engine,
    before: NodeClass,
    after: NodeClass,
    members: int,
    signatures: dict[tuple[int, int], tuple[object, ...]],
) -> bool:
    # Two nodes of one class may differ in whether they see each other in only one way: all do or none does.
    # So the rows may be compared whole, unless the class's only member is the node itself.
    visible_before, visible_after = old.row(before), new.row(after)
    if visible_before != visible_after:
        alone = members if members & (members - 1) == 0 else 0
        if visible_before & ~alone != visible_after & ~alone:
            return True
    for side, engine, cls in ((0, old, before), (1, new, after)):
        if (side, cls.id) not in signatures:
            signatures[side, cls.id] = plan_of(engine, cls).signature(engine)
    if signatures[0, before.id] != signatures[1, after.id]:
        return True
    for index in bits(visible_after & new.routers):
        router = new.nodes.by_index[index]
        if peer_routes(old, before, router) != peer_routes(new, after, router):
            return True
    return False


def _ssh_differences(old: Engine, new: Engine, known: int) -> int:
    out = 0
    for index, node in new.nodes.by_index.items():
        if not known >> index & 1 and old.ssh.rules(old.nodes.by_index[index]) != new.ssh.rules(node):
            out |= 1 << index
    return out


def _role_differences(old: Engine, new: Engine) -> int:
    """Nodes of users whose role differs: the role shows in the nodes' own capabilities."""
    out = 0
    for owner, nodes in new.nodes.owned.items():
        before, after = old.directory.users.get(owner), new.directory.users.get(owner)
        if (before and before.role) != (after and after.role):
            out |= nodes
    return out
