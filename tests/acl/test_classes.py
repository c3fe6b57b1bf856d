"""Records of the engine: what a new one says."""

from __future__ import annotations

from acl.classes import NodeClass, Rule
from acl.compile import compile_rules
from acl.resolve import AddressSet, Profile


def test_a_new_class_sees_nobody_and_routes_nothing() -> None:
    cls = NodeClass(3, Profile())
    assert (cls.id, cls.members, cls.adjacent, cls.row, cls.plan) == (3, 0, 0, None, None)
    assert cls.routes.subnets == cls.routes.exits == ()


def test_a_new_rule_concerns_no_class() -> None:
    (template,) = compile_rules(None)
    source = AddressSet(template.source)
    rule = Rule(template, source, ((source, ()),), owner=7)
    assert (rule.target_classes, rule.owner, rule.routed) == (0, 7, ())
