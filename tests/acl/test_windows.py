"""What profiles come to in rules."""

from __future__ import annotations

from typing import Any

from acl.compile import RuleKind, Scope, SetSpec
from acl.windows import window_rules
from tests.acl.tailnets import policy

SOURCE = SetSpec(identities=("window:1",))


def section(**fields: Any) -> dict[str, Any]:
    return {"access": {"profiles": {"mgmt": {"src": ["alice@"], **fields}}}}


def test_no_policy_and_no_profiles_open_nothing() -> None:
    assert window_rules(None) == {}
    assert window_rules(policy(acls=[])) == {}


def test_the_rules_of_a_profile_stand_behind_those_of_the_policy() -> None:
    fields = {"dst": ["tag:server:22", "10.0.0.0/24:22"], "via": ["tag:router"], "proto": "tcp"}
    rules = window_rules(policy(acls=[], **section(**fields)))["mgmt"]
    found = list(rules.templates(SOURCE, 100))
    assert [(each.ordinal, each.kind, each.scope, each.protocols) for each in found] == [
        (100, RuleKind.PORTS, Scope.VIA, (6,)),
        (101, RuleKind.LINK, Scope.VIA, ()),
        (102, RuleKind.PORTS, Scope.GLOBAL, (6,)),
    ]
    assert {each.source for each in found} == {SOURCE}
    assert found[0].origin.section == "access.profiles[mgmt]"


def test_a_policy_that_allows_everything_has_only_logins_to_open() -> None:
    rules = window_rules(policy(**section(dst=["tag:server:22"], ssh={"users": ["root"]})))["mgmt"]
    assert rules.network == ()
    assert rules.login is not None


def test_postures_of_a_window_are_its_own_or_the_default_ones() -> None:
    postures = {f"posture:{name}": ["node:os == 'macos'"] for name in "ab"}
    sections: dict[str, Any] = {"acls": [], "postures": postures, "defaultSrcPosture": ["posture:a"]}
    for own, expected in (([], ("posture:a",)), (["posture:b"], ("posture:b",))):
        (rules,) = window_rules(policy(**sections, **section(dst=["tag:server:1"], srcPosture=own))).values()
        assert rules.postures == expected
