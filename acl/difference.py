"""What a new policy, or new users, change for whom.

Here: the comparison of two engines over the same nodes. Rules that are the same in both, over sets with the
same nodes, cannot change anything; that leaves few nodes to look at, and those are compared exactly, class by
class. Called by `index`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from acl.compile import RuleTemplate
from acl.node_attributes import disables_ipv4
from acl.nodes import bits
from acl.packet_filter import plan_of
from acl.visibility import peer_routes
from acl.windows import all_templates

if TYPE_CHECKING:
    from acl.classes import NodeClass, Rule
    from acl.engine import Engine
    from acl.facts import TailnetFacts
    from acl.resolve import IdentityDirectory

__all__ = ["changed_nodes", "same_for_present_users"]

Signatures = dict[tuple[int, int], tuple[object, ...]]


def _content(template: RuleTemplate) -> tuple[object, ...]:
    """A rule without its place."""
    targets = tuple((target.spec, target.ports) for target in template.targets)
    return (
        template.kind,
        template.scope,
        template.source,
        targets,
        template.protocols,
        template.cap_map,
        template.via,
    )


def _edited(old: Engine, new: Engine) -> tuple[range, range]:
    """Ordinals of the differing rules in the old and the new policy: all but the common beginning and end."""
    before = [_content(template) for template in old.templates]
    after = [_content(template) for template in new.templates]
    shorter = min(len(before), len(after))
    start = 0
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return range(start, len(before) - end), range(start, len(after) - end)


def _rules(engine: Engine) -> Iterable[Rule]:
    for item_set in engine.sets.values():
        yield from item_set.as_source


def _candidates(old: Engine, new: Engine) -> int:
    """Bit set of the nodes whose peers, routes or filter could differ at all.

    A rule concerns the nodes its source covers and those it has an entry for. An edited rule also concerns
    those whose filters merge rules with its sources, because the place of the merged rule may be another.
    """
    moved = {
        key
        for key in old.sets.keys() | new.sets.keys()
        if key not in old.sets or key not in new.sets or old.sets[key].nodes != new.sets[key].nodes
    }
    out = 0
    for engine, edited in zip((old, new), _edited(old, new), strict=True):
        classes = 0
        companies: set[object] = set()
        for rule in _rules(engine):
            sets = {
                (item_set.spec, item_set.owner) for item_set in (rule.source, *(t for t, _ in rule.targets))
            }
            if rule.template.ordinal in edited or not moved.isdisjoint(sets):
                classes |= rule.source.cover_classes | rule.target_classes
                companies.add(rule.source.key)
        for template in engine.via_templates:
            if template.ordinal in edited:
                classes |= engine.address_set(template.source).cover_classes
        for key in companies - {None}:
            for item_set in engine.company(key):
                classes |= item_set.target_classes
        out |= engine.members(classes)
    return out


def changed_nodes(old: Engine, new: Engine) -> int:
    """Bit set of the nodes whose peers, peer routes, filter, SSH rules or capabilities differ.

    Both engines hold the same nodes. The work is done once for each pair of old and new class that occurs.
    """
    if old.facts.auto_updates != new.facts.auto_updates:
        return _everybody(new)
    candidates = _candidates(old, new)
    pairs: dict[tuple[int, int], int] = {}
    for index, cls in old.class_of.items():
        pair = (cls.id, new.class_of[index].id)
        pairs[pair] = pairs.get(pair, 0) | 1 << index
    out = 0
    signatures: Signatures = {}
    for (old_id, new_id), members in pairs.items():
        before, after = old.classes[old_id], new.classes[new_id]
        if before.attributes != after.attributes:
            out |= members
            if disables_ipv4(before.attributes) != disables_ipv4(after.attributes):
                out |= old.row(before) | new.row(after)  # everybody who sees them sees other addresses
        if members & candidates & ~out and _differs(old, new, before, after, members, signatures):
            out |= members
    return out | _ssh_differences(old, new, out) | _role_differences(old, new)


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
    signatures: Signatures,
) -> bool:
    # All members of a class see each other or none does, so rows may be compared whole; only a single node's
    # own bit says nothing.
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
    if old.ssh.signature() == new.ssh.signature():
        return 0
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


def _same_rules(engine: Engine, facts: TailnetFacts) -> bool:
    """Whether no rule, and no access profile, speaks of a WireGuard peer that is another one now."""
    return all_templates(engine.policy, facts) == (engine.templates, engine.window_rules)


def same_for_present_users(engine: Engine, facts: TailnetFacts, directory: IdentityDirectory) -> bool:
    """Whether other facts leave the rules, and every user who has nodes, what they were.

    Then no node is concerned.
    """
    if facts.auto_updates != engine.facts.auto_updates:
        return False
    known = engine.facts
    same_peers = (facts.peers, facts.peer_profiles) == (known.peers, known.peer_profiles)
    if not same_peers and not _same_rules(engine, facts):
        return False
    present = engine.nodes.owned.keys()
    if any(directory.users.get(user) != engine.directory.users.get(user) for user in present):
        return False
    return all(
        directory.users_of(text) & present == engine.directory.users_of(text) & present
        for text in engine.by_identity
    )
