"""The state of one policy over the nodes present: classes, rules and sets, kept up to date node by node.

Here: `Engine`. It answers nothing itself; `index`, `packet_filter`, `visibility` and `ssh` read it. Cost of
one
routeless node: its own sets, and the classes that see it; never all nodes.

INVARIANT: whatever the order of `add` and `remove`, the state equals that of a fresh engine with the same
nodes.
"""

from __future__ import annotations

from collections.abc import Iterable

from acl.addresses import TAILNET, AddressRange
from acl.classes import NodeClass, Rule
from acl.compile import RuleKind, RuleTemplate, Scope, SetSpec, SpecMaker
from acl.document import Policy
from acl.facts import NodeFact, TailnetFacts
from acl.matching import hit_sets, routed_parts
from acl.node_attributes import AttributeTable
from acl.nodes import NodeTable, RangeIndex, bits, node_addresses
from acl.postures import parse_assertion, satisfies
from acl.resolve import MEMBER, TAGGED, AddressSet, IdentityDirectory, Profile
from acl.routes import NodeRoutes, RouteTable
from acl.ssh import SshTable, login_entry
from acl.updates import load
from acl.windows import all_templates

__all__ = ["Engine"]

NO_ROUTES = NodeRoutes()
ContentKey = tuple[object, ...] | None


class Engine:
    """One policy, its facts, and the nodes added so far."""

    def __init__(self, policy: Policy | None, facts: TailnetFacts, nodes: Iterable[NodeFact] = ()) -> None:
        self.policy = policy
        self.facts = facts
        self.directory = IdentityDirectory(policy, facts)
        self.nodes = NodeTable()
        self.routes = RouteTable()
        self.sets: dict[tuple[SetSpec, int | None], AddressSet] = {}
        self.by_identity: dict[str, list[AddressSet]] = {}
        self.by_range: dict[AddressRange, list[AddressSet]] = {}
        self.broad: list[AddressSet] = []  # sets with `*` or autogroup:danger-all
        self.own_sets: dict[int, list[AddressSet]] = {}
        self.own_rules: dict[int, list[Rule]] = {}
        self.classes: dict[int, NodeClass] = {}
        self.class_of: dict[int, NodeClass] = {}
        self.routers = 0  # nodes with approved routes
        # Grows whenever something changes about routers; what is known about their routes is good until then.
        self.views_epoch = 0
        self.route_rules_epoch = 0
        # (router's id, route): rules of its filter that let somebody at the route;
        # (None, route): rules that let the route in somewhere.
        self.route_rules: dict[tuple[int | None, AddressRange], list[Rule]] = {}
        self._by_profile: dict[Profile, NodeClass] = {}
        self._free: list[int] = []
        self._ranges: RangeIndex[AddressRange] = RangeIndex()
        self.router_ranges: RangeIndex[int] = RangeIndex()
        self.odd = 0  # nodes outside the tailnet's own ranges: `*` covers them only through somebody's route
        self._blocks: dict[tuple[object, ...], set[AddressSet]] = {}
        self._identities_of: dict[tuple[int | None, tuple[str, ...]], frozenset[str]] = {}
        self.opened: list[Rule] = []  # rules of open windows, but for those through routers
        self.windowed: dict[int, frozenset[str]] = {}  # node's id -> identities of the windows open for it
        self._compile(policy)
        load(self, nodes)

    # -- from the policy -------------------------------------------------------------------------------------

    def _compile(self, policy: Policy | None) -> None:
        self.maker = SpecMaker(Policy() if policy is None else policy, self.facts.peers)
        self.templates, self.window_rules = all_templates(policy, self.facts)
        templates = self.templates
        self.self_templates = [t for t in templates if t.scope is Scope.SELF]
        self.via_templates = [t for t in templates if t.scope is Scope.VIA]
        self.rules: list[Rule] = [self._instantiate(t, None) for t in templates if t.scope is Scope.GLOBAL]
        for template in self.via_templates:
            self.address_set(template.source).is_source = True
        self.attributes = AttributeTable(policy, self)
        self.ssh = SshTable(policy, self)
        self.scoped = bool(self.self_templates)
        self._prepare_windows()
        self._postures = {
            entry.name.text: tuple(parse_assertion(word.text) for word in entry.items)
            for entry in (policy.postures if policy is not None else ())
        }
        used = {name for spec, _ in self.sets for name in spec.postures}
        used |= {name for template in self.self_templates for name in template.source.postures}
        used |= {name for rules in self.window_rules.values() for name in rules.postures}
        self._postures = {name: found for name, found in self._postures.items() if name in used}
        # Self sets are made per user later; what they look at must be part of the profiles from the start.
        for template in self.self_templates:
            self._watch(template.source)
            for target in template.targets:
                self._watch(target.spec)

    def _prepare_windows(self) -> None:
        """Have the destinations of every profile as sets from the start: a window then only adds rules."""
        found = self.window_rules.values()
        self.window_places = max((len(rules.network) for rules in found), default=0)
        for rules in found:
            for template in rules.network:
                if template.scope is Scope.GLOBAL:
                    for target in template.targets:
                        self.address_set(target.spec)
            if rules.login is not None:
                login_entry(rules.login, self)

    def _watch(self, spec: SetSpec) -> None:
        """Make the identities and ranges of a set part of every node's profile."""
        for text in spec.identities:
            self.by_identity.setdefault(text, [])
        for item in spec.ranges:
            if item not in self.by_range:
                self.by_range[item] = []
                self._ranges.add(item, item)

    def address_set(self, spec: SetSpec, owner: int | None = None) -> AddressSet:
        """The one set of a spec; a set without owner is found again by what it is made of."""
        found = self.sets.get((spec, owner))
        if found is None:
            found = self.sets[spec, owner] = AddressSet(spec, owner)
            if owner is None:
                self._watch(spec)
                for text in spec.identities:
                    self.by_identity[text].append(found)
                for item in spec.ranges:
                    self.by_range[item].append(found)
                if spec.wildcard or spec.everything:
                    self.broad.append(found)
        return found

    def _instantiate(self, template: RuleTemplate, owner: int | None) -> Rule:
        source = self.address_set(template.source, owner)
        targets = tuple((self.address_set(target.spec, owner), target.ports) for target in template.targets)
        rule = Rule(template, source, targets, owner=owner)
        source.is_source = True
        source.as_source.append(rule)
        for target in dict.fromkeys(target for target, _ in targets):
            target.as_target.append(rule)
        return rule

    # -- profiles and classes --------------------------------------------------------------------------------

    def identities(self, owner: int | None, tags: tuple[str, ...]) -> frozenset[str]:
        """The identity selectors of the policy that mean a node with these tags or of this user."""
        key = (None, tags) if tags else (owner, ())
        found = self._identities_of.get(key)
        if found is None:
            if tags:
                names: Iterable[str] = (*tags, TAGGED)
                found = frozenset(name for name in names if name in self.by_identity)
            else:
                found = frozenset(
                    name
                    for name in self.by_identity
                    if name == MEMBER or (owner is not None and owner in self.directory.users_of(name))
                )
            self._identities_of[key] = found
        return found

    def postures_of(self, node: NodeFact) -> frozenset[str]:
        """The postures some rule asks for and the node satisfies."""
        return frozenset(name for name, found in self._postures.items() if satisfies(found, node.attributes))

    def _profile(self, node: NodeFact, routes: NodeRoutes) -> Profile:
        addresses = node_addresses(node)
        if not addresses:
            return Profile(placed=False, router=node.id if routes != NO_ROUTES else None)
        ranges = frozenset(
            item for version, number in addresses for item in self._ranges.holding(version, number)
        )
        inside = any(item.holds(version, number) for version, number in addresses for item in TAILNET)
        if not inside:
            self.odd |= 1 << node.index
            inside = any(True for address in addresses for _ in self.router_ranges.holding(*address))
        return Profile(
            identities=self.identities(node.owner, node.tags) | self.windowed.get(node.id, frozenset()),
            ranges=ranges,
            in_wildcard=inside,
            postures=self.postures_of(node),
            owner=node.owner if self.scoped else None,
            router=node.id if routes != NO_ROUTES else None,
        )

    def class_for(self, node: NodeFact, routes: NodeRoutes) -> tuple[NodeClass, bool]:
        """The class of a node, made if need be (second item), but not connected yet."""
        profile = self._profile(node, routes)
        found = self._by_profile.get(profile)
        if found is not None:
            return found, False
        cls = NodeClass(self._free.pop() if self._free else len(self.classes), profile)
        self.classes[cls.id] = self._by_profile[profile] = cls
        cls.routes = routes
        owner = profile.owner
        candidates: dict[AddressSet, None] = {}
        for text in profile.identities:
            candidates.update(dict.fromkeys(self.by_identity[text]))
        for item in profile.ranges:
            candidates.update(dict.fromkeys(self.by_range[item]))
        candidates.update(dict.fromkeys(self.broad))
        candidates.update(dict.fromkeys(self._sets_of_owner(owner)))
        for item_set in candidates:
            if item_set.means_whole(profile, owner):
                cls.whole.append(item_set)
            elif item_set.by_node and item_set.holds_address(profile, owner):
                cls.narrowed.append(item_set)
            if item_set.holds_address(profile, owner):
                cls.own.add(item_set)
        cls.attributes = self.attributes.of_class(cls)
        return cls, True

    def _sets_of_owner(self, owner: int | None) -> list[AddressSet]:
        if owner is None or not self.self_templates:
            return []
        if owner not in self.own_rules:
            self.own_rules[owner] = [self._instantiate(template, owner) for template in self.self_templates]
            used = [s for rule in self.own_rules[owner] for s in (rule.source, *(t for t, _ in rule.targets))]
            self.own_sets[owner] = list(dict.fromkeys(used))
        return self.own_sets[owner]

    def drop_owner(self, owner: int) -> None:
        for item_set in self.own_sets.pop(owner, ()):
            del self.sets[item_set.spec, owner]
        self.own_rules.pop(owner, None)

    def connect(self, cls: NodeClass, node: NodeFact) -> None:
        """Find what covers a class and which rules hit it, and make it adjacent to the classes it sees."""
        bit = 1 << cls.id
        for _, item in cls.routes.subnets:
            cls.inside |= self.nodes.inside(item)
        cls.inside &= ~(1 << node.index)
        covered, hit = hit_sets(self, cls)
        cls.covered_by = covered
        rules: dict[int, Rule] = {}
        for item_set, internet_only in hit.items():
            for rule in item_set.as_target:
                if rule.owner is not None and rule.owner != cls.profile.owner:
                    continue  # a self rule exists on its user's nodes only
                if not (internet_only and rule.template.kind is RuleKind.CAPABILITY):
                    rules[rule.template.ordinal] = rule
        for rule in self._via_rules(cls, node):
            rules[rule.template.ordinal] = rule
        cls.hit = [rules[ordinal] for ordinal in sorted(rules)]
        for item_set in covered:
            item_set.cover_classes |= bit
        for rule in cls.hit:
            rule.target_classes |= bit
            rule.source.target_classes |= bit
        adjacent = 0
        for item_set in covered:
            adjacent |= item_set.target_classes
        for rule in cls.hit:
            adjacent |= rule.source.cover_classes
        cls.adjacent = adjacent
        for other in bits(adjacent):
            self.classes[other].adjacent |= bit

    def _via_rules(self, cls: NodeClass, node: NodeFact) -> list[Rule]:
        if cls.profile.router is None or not self.via_templates:
            return []
        for template in self.via_templates:
            routed = routed_parts(template, cls.routes) if set(template.via) & set(node.tags) else ()
            if routed:
                rule = Rule(template, self.address_set(template.source), (), routed=routed)
                rule.source.as_source.append(rule)
                cls.via_rules.append(rule)
        return cls.via_rules

    def disconnect(self, cls: NodeClass) -> None:
        keep = ~(1 << cls.id)
        for item_set in cls.covered_by:
            item_set.cover_classes &= keep
        for rule in cls.hit:
            rule.target_classes &= keep
            rule.source.target_classes &= keep
        for rule in cls.via_rules:
            rule.source.as_source.remove(rule)
        for other in bits(cls.adjacent):
            self.classes[other].adjacent &= keep
        del self.classes[cls.id], self._by_profile[cls.profile]
        self._free.append(cls.id)

    # -- sources ---------------------------------------------------------------------------------------------

    def strings(self, item_set: AddressSet) -> tuple[str, ...]:
        """A set as source strings."""
        return item_set.strings(self.nodes, self.routes.holders)

    def lead(self, rule: Rule, cls: NodeClass) -> int:
        """Where the rules with this rule's sources and protocols stand in the filter of a class."""
        protocols = rule.template.protocols
        key = rule.source.key
        ordinals = [
            other.template.ordinal
            for item_set in (self._blocks.get(key, ()) if key is not None else ())
            for other in item_set.as_source
            if other.template.kind is RuleKind.PORTS
            and other.template.protocols == protocols
            and (other.template.scope is Scope.GLOBAL or other in cls.hit)
        ]
        return min(ordinals, default=rule.template.ordinal)

    def rekey(self, sets: Iterable[AddressSet]) -> int:
        """File sets under their new content, after it changed.

        Rules with equal sources stand together in a filter. When a set joins or leaves such a company, the
        order may change on nodes that have nothing to do with the node that came or went. A set that was
        empty or becomes so brings its rules into filters or takes them out.

        Returns:
            Bit set of the classes whose plans may have changed.
        """
        moves: dict[tuple[ContentKey, ContentKey], set[AddressSet]] = {}
        for item_set in sets:
            new = item_set.content_key(self.nodes, self.routes.holders)
            if new != item_set.key:
                moves.setdefault((item_set.key, new), set()).add(item_set)
        # All leave before any arrives, so that a company moving as a whole meets nobody but strangers.
        affected = 0
        left: set[ContentKey] = set()
        for (old, new), moved in moves.items():
            if old is None or new is None or old in left:
                affected |= _targets_of(moved)
            left.add(old)
            if old is not None:
                self._blocks[old] -= moved
        for (old, _), moved in moves.items():
            if old is not None and self._blocks.get(old):
                affected |= _targets_of(self._blocks[old] | moved)
            elif old is not None:
                self._blocks.pop(old, None)
        for (_, new), moved in moves.items():
            for item_set in moved:
                item_set.key = new
            if new is not None:
                company = self._blocks.setdefault(new, set())
                if company:
                    affected |= _targets_of(company | moved)
                company |= moved
        return affected

    def company(self, key: object) -> Iterable[AddressSet]:
        """The sources with a content key."""
        return self._blocks.get(key, ()) if isinstance(key, tuple) else ()

    def know(self, facts: TailnetFacts, directory: IdentityDirectory) -> None:
        """Take facts that change nothing for the nodes present."""
        self.facts = facts
        self.directory = directory
        self._identities_of.clear()

    def stale(self, classes: int) -> None:
        """Have the filter plans of some classes made anew when next asked for."""
        for class_id in bits(classes):
            self.classes[class_id].plan = None

    def outdated(self, classes: int) -> None:
        """Have the filters of some classes filled with current sources; their plans stay good."""
        for class_id in bits(classes):
            plan = self.classes[class_id].plan
            if plan is not None:
                plan.version += 1

    def members(self, classes: int) -> int:
        """Bit set of the nodes of some classes."""
        out = 0
        for class_id in bits(classes):
            out |= self.classes[class_id].members
        return out

    def row(self, cls: NodeClass) -> int:
        """Bit set of the nodes a class sees."""
        if cls.row is None:
            cls.row = self.members(cls.adjacent)
        return cls.row


def _targets_of(sets: Iterable[AddressSet]) -> int:
    out = 0
    for item_set in sets:
        out |= item_set.target_classes
    return out
