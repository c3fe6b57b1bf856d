"""Open windows on top of a compiled policy: rules that come and go without compiling anything again.

Here: `Overlay`, which puts windows into an engine and takes them out, and names the nodes concerned. Not
here: which windows are open (the server knows), and what a profile's rules are (`windows`). Called by
`index`.

A window is a few more rules behind the policy's own. Their destinations are sets the engine has kept since
it was made; their source is a set of its own, whose identity marks the source nodes and moves them into a
class of their own. So the cost is that of the classes with an entry, not that of the tailnet.

INVARIANT: whatever windows were opened and closed before, in whatever order, the engine answers as a fresh
one would with the windows open now.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acl.classes import Rule
from acl.compile import RuleTemplate, Scope, SetSpec
from acl.facts import NodeFact
from acl.matching import keeps_entry, routed_parts
from acl.nodes import bits, node_addresses
from acl.resolve import WINDOW, AddressSet
from acl.ssh import LoginEntry, login_entry
from acl.updates import replace_node
from acl.windows import OpenWindow

if TYPE_CHECKING:
    from acl.classes import NodeClass
    from acl.engine import Engine

__all__ = ["Overlay"]


@dataclass(slots=True, eq=False)
class _Opened:
    window: OpenWindow
    source: AddressSet
    templates: tuple[RuleTemplate, ...]
    login: LoginEntry | None = None


@dataclass(slots=True, eq=False)
class Overlay:
    """The windows open in one engine."""

    engine: Engine
    _windows: dict[int, OpenWindow] = field(default_factory=dict)
    _opened: dict[int, _Opened] = field(default_factory=dict)
    _users_of: dict[SetSpec, int] = field(default_factory=dict)

    @property
    def windows(self) -> Mapping[int, OpenWindow]:
        """The windows that are open, by id."""
        return self._windows

    def put(self, windows: Iterable[OpenWindow]) -> int:
        """Have exactly these windows open.

        A window whose profile the policy does not have opens nothing.

        Returns:
            Bit set of the nodes whose peers, filter, routes or SSH rules may have changed.
        """
        wanted = {window.id: window for window in windows}
        changed = 0
        for window_id, window in list(self._windows.items()):
            if wanted.get(window_id) != window:
                changed |= self._close(window_id)
        for window_id, window in wanted.items():
            if window_id not in self._windows:
                changed |= self._open(window)
        return changed

    # -- one window ------------------------------------------------------------------------------------------

    def _open(self, window: OpenWindow) -> int:
        self._windows[window.id] = window
        rules = self.engine.window_rules.get(window.profile)
        if rules is None or not window.nodes:
            return 0
        source, changed = self._source(window.nodes, rules.postures)
        first = len(self.engine.templates) + window.id * self.engine.window_places
        opened = _Opened(window, source, tuple(rules.templates(source.spec, first)))
        self._opened[window.id] = opened
        for template in opened.templates:
            self._attach(template, source)
        changed |= self._settle(opened)
        if rules.login is not None:
            opened.login = login_entry(rules.login, self.engine)
            opened.login.sources = [(source, False)]
            opened.login.order, opened.login.expires = window.id, window.closes_at
            changed |= self.engine.ssh.open(opened.login)
        return changed

    def _close(self, window_id: int) -> int:
        del self._windows[window_id]
        opened = self._opened.pop(window_id, None)
        if opened is None:
            return 0
        changed = 0
        if opened.login is not None:
            changed |= self.engine.ssh.close(opened.login)
        changed |= self._concerned(opened)
        for template in opened.templates:
            self._detach(template, opened.source)
        changed |= self._settle(opened)
        return changed | self._release(opened)

    # -- the source ------------------------------------------------------------------------------------------

    def _source(self, nodes: tuple[int, ...], postures: tuple[str, ...]) -> tuple[AddressSet, int]:
        """The set of the source nodes, shared by windows that have the same ones; and who is concerned."""
        engine = self.engine
        identity = " ".join((WINDOW + ",".join(map(str, nodes)), *postures))
        spec = SetSpec(identities=(identity,), postures=postures)
        self._users_of[spec] = self._users_of.get(spec, 0) + 1
        changed = 0
        if self._users_of[spec] == 1:
            engine.address_set(spec).is_source = True
            for node_id in nodes:
                engine.windowed[node_id] = engine.windowed.get(node_id, frozenset()) | {identity}
            changed = self._reseat_all(nodes)
        return engine.address_set(spec), changed

    def _release(self, opened: _Opened) -> int:
        """Forget the source when no window needs it any more."""
        engine, spec = self.engine, opened.source.spec
        self._users_of[spec] -= 1
        if self._users_of[spec]:
            return 0
        del self._users_of[spec]
        identity = spec.identities[0]
        for node_id in opened.window.nodes:
            left = engine.windowed.pop(node_id) - {identity}
            if left:
                engine.windowed[node_id] = left
        changed = self._reseat_all(opened.window.nodes)
        engine.stale(engine.rekey([opened.source]))
        del engine.sets[spec, None], engine.by_identity[identity]
        return changed

    def _reseat_all(self, node_ids: Iterable[int]) -> int:
        table, changed = self.engine.nodes.by_id, 0
        for node_id in node_ids:
            if node_id in table:
                changed |= self._reseat(table[node_id])
        return changed

    def _reseat(self, node: NodeFact) -> int:
        """Move a node into the class it belongs to now, which differs in windows only."""
        engine = self.engine
        old = engine.class_of[node.index]
        new, fresh = engine.class_for(node, old.routes)
        if new is old:
            return 0
        bit = 1 << node.index
        if fresh:
            engine.connect(new, node)
            new.former = old.former
        for item_set in {*old.whole, *old.narrowed} - {*new.whole, *new.narrowed}:
            item_set.drop_node_strings(engine.nodes, node.index)
            item_set.remove(bit)
        for item_set in {*new.whole, *new.narrowed} - {*old.whole, *old.narrowed}:
            item_set.add(bit, whole=item_set in new.whole)
        old.members &= ~bit
        new.members |= bit
        engine.class_of[node.index] = new
        for class_id in bits(old.adjacent | new.adjacent):
            other = engine.classes[class_id]
            if other.row is not None:
                other.row = other.row | bit if new.adjacent >> class_id & 1 else other.row & ~bit
        if not old.members:
            engine.disconnect(old)
        if engine.routers >> node.index & 1:
            engine.views_epoch += 1
        return self._refresh_shadowing(node)

    def _refresh_shadowing(self, node: NodeFact) -> int:
        """Routers whose subnets hold a tailnet address of the node act for it, so they are placed anew."""
        engine = self.engine
        routers = {
            router for address in node_addresses(node) for router in engine.router_ranges.holding(*address)
        }
        changed = 0
        for router in routers - {node.id}:
            changed |= replace_node(engine, engine.nodes.by_id[router])
        return changed

    # -- the rules -------------------------------------------------------------------------------------------

    def _attach(self, template: RuleTemplate, source: AddressSet) -> None:
        engine = self.engine
        if template.scope is Scope.VIA:
            engine.via_templates.append(template)
            engine.via_templates.sort(key=lambda each: each.ordinal)
            for index in bits(engine.routers):
                self._attach_via(template, source, engine.nodes.by_index[index])
            return
        targets = tuple((engine.address_set(target.spec), target.ports) for target in template.targets)
        rule = Rule(template, source, targets)
        source.as_source.append(rule)
        engine.opened.append(rule)
        for target in dict.fromkeys(target for target, _ in targets):
            target.as_target.append(rule)
        for cls in engine.classes.values():
            if any(keeps_entry(engine, cls, target) for target, _ in targets):
                self._hit(rule, cls)

    def _attach_via(self, template: RuleTemplate, source: AddressSet, router: NodeFact) -> None:
        cls = self.engine.class_of[router.index]
        routed = routed_parts(template, cls.routes) if set(template.via) & set(router.tags) else ()
        if routed:
            rule = Rule(template, source, (), routed=routed)
            source.as_source.append(rule)
            cls.via_rules.append(rule)
            self._hit(rule, cls)

    def _hit(self, rule: Rule, cls: NodeClass) -> None:
        bit = 1 << cls.id
        insort(cls.hit, rule, key=lambda each: each.template.ordinal)
        cls.plan = None
        rule.target_classes |= bit
        rule.source.target_classes |= bit

    def _detach(self, template: RuleTemplate, source: AddressSet) -> None:
        engine = self.engine
        if template.scope is Scope.VIA:
            engine.via_templates.remove(template)
        for rule in [each for each in source.as_source if each.template is template]:
            source.as_source.remove(rule)
            if rule in engine.opened:
                engine.opened.remove(rule)
            for target in dict.fromkeys(target for target, _ in rule.targets):
                target.as_target.remove(rule)
            for class_id in bits(rule.target_classes):
                cls = engine.classes[class_id]
                cls.hit.remove(rule)
                cls.plan = None
                if rule in cls.via_rules:
                    cls.via_rules.remove(rule)
        source.target_classes = 0
        for rule in source.as_source:
            source.target_classes |= rule.target_classes

    def _settle(self, opened: _Opened) -> int:
        """After rules came or went: who sees whom, the order of filters, and who is concerned."""
        engine, source = self.engine, opened.source
        for class_id in bits(source.cover_classes):
            self._relink(engine.classes[class_id])
        reordered = engine.rekey([source])
        engine.stale(reordered)
        windowed = 0
        for spec in self._users_of:
            windowed |= engine.sets[spec, None].target_classes
        if engine.routers:
            engine.views_epoch += 1
        return self._concerned(opened) | engine.members(reordered & windowed)

    def _concerned(self, opened: _Opened) -> int:
        """The nodes on both sides of a window's rules; nobody while its source is empty."""
        source, targets = opened.source, 0
        if source.is_empty():
            return 0
        for rule in source.as_source:
            if rule.template in opened.templates:
                targets |= rule.target_classes
        via = any(template.scope is Scope.VIA for template in opened.templates)
        if not targets and not via:
            return 0
        return self.engine.members(targets | source.cover_classes)

    def _relink(self, cls: NodeClass) -> None:
        """Find anew which classes a class sees."""
        engine, bit, adjacent = self.engine, 1 << cls.id, 0
        for item_set in cls.covered_by:
            adjacent |= item_set.target_classes
        for rule in cls.hit:
            adjacent |= rule.source.cover_classes
        for class_id in bits(cls.adjacent ^ adjacent):
            other = engine.classes[class_id]
            if adjacent >> class_id & 1:
                other.adjacent |= bit
                other.row = None if other.row is None else other.row | cls.members
            else:
                other.adjacent &= ~bit
                other.row = None if other.row is None else other.row & ~cls.members
        cls.adjacent = adjacent
        cls.row = None
