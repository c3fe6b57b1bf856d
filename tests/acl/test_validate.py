"""Whole-file checks: every finding, the service's first choice first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import acl
from tests.acl.tailnets import FACTS, policy, problems


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"groups": {"group:a": ["group:b"], "group:b": []}},
            'groups["group:a"]: "group:b": group members cannot be recursive',
        ),
        ({"groups": {"dev": []}}, "groups[\"dev\"]: group names must start with 'group:'"),
        (
            {"groups": {"group:a": ["tag:server"]}},
            'groups["group:a"]: "tag:server": group members must be users',
        ),
        (
            {"tagOwners": {"tag:сервер": []}},
            "tagOwners[\"tag:сервер\"]: tag names must start with a letter, after 'tag:'",
        ),
        (
            {"tagOwners": {"tag:1": []}},
            "tagOwners[\"tag:1\"]: tag names must start with a letter, after 'tag:'",
        ),
        ({"hosts": {"a@b": "10.0.0.1"}}, 'hosts["a@b"]: a host name has no @ and is not empty'),
        ({"hosts": {"a": "10.0.0.1.2"}}, 'hosts["a"]: "10.0.0.1.2": invalid address'),
        ({"ipsets": {"ipset:a": ["ipset:a"]}}, 'ipsets["ipset:a"]: `ipset:a` contains itself'),
        ({"ipsets": {"a": []}}, "ipsets[\"a\"]: names of IP sets must start with 'ipset:'"),
        (
            {"postures": {"posture:a": ["x"]}},
            'postures["posture:a"]: `x` does not begin with an attribute such as node:os',
        ),
        ({"postures": {"posture:a": []}}, 'postures["posture:a"]: no assertion given'),
        ({"defaultSrcPosture": ["posture:a"]}, 'posture not found: "posture:a"'),
        ({"autoApprovers": {"routes": {"x": []}}}, 'autoApprovers.routes: "x": invalid prefix'),
        ({"autoApprovers": {"exitNode": ["*"]}}, '"*" not valid in autoApprovers'),
        ({"nodeAttrs": [{"target": ["%bogus%"], "attr": ["a"]}]}, '"%bogus%": invalid address'),
        (
            {"nodeAttrs": [{"target": ["*"], "ipPool": ["100.100.100.0/24"]}]},
            "IPPool(100.100.100.0/24): network within reserved range",
        ),
        ({"nodeAttrs": [{"target": ["*"], "ipPool": ["fd00::/8"]}]}, "IPPool(fd00::/8): not an IPv4 prefix"),
        ({"OneCGNATRoute": "x"}, 'OneCGNATRoute="x" is not supported'),
        ({"attrConfig": {"tier": {}}}, "attrConfig[\"tier\"]: names must start with 'custom:'"),
        (
            {"attrConfig": {"custom:tier": {"type": "list"}}},
            'attrConfig["custom:tier"]: type "list" is not supported',
        ),
    ],
)
def test_messages(sections: dict[str, Any], message: str) -> None:
    assert problems(**sections) == [message]


def test_of_several_wrong_groups_the_last_by_name_is_reported_first() -> None:
    nested = {"group:a": ["group:x"], "group:c": ["group:x"], "group:b": ["group:x"]}
    assert [text[8:15] for text in problems(groups=nested)] == ["group:c", "group:b", "group:a"]


def test_all_problems_are_reported_with_their_places() -> None:
    text = (
        '{\n"acls": [\n {"action": "accept", "src": ["tag:x"], "dst": ["tag:y:1"]},\n {"action": "deny"}\n]}'
    )
    with pytest.raises(acl.PolicyError) as caught:
        acl.parse_policy(text)
    assert [str(p) for p in caught.value.problems] == [
        'line 3, column 31: src=tag not found: "tag:x"',
        'line 3, column 49: dst="tag:y": tag not found: "tag:y"',
        'line 4, column 13: action="deny" is not supported',
    ]


def test_nothing_is_wrong_with_lists_that_do_nothing() -> None:
    assert (
        problems(nodeAttrs=[{"target": ["*"]}, {"target": []}], acls=[], ssh=[], groups={"group:a": []}) == []
    )


def messages(the_policy: acl.Policy, facts: acl.TailnetFacts = FACTS) -> list[str]:
    return [problem.message for problem in acl.check_policy(the_policy, facts)]


def test_foreign_domains() -> None:
    tail = "is not associated with this Tailnet and cannot be used in user:*@<domain> expressions"
    rules = policy(acls=[{"action": "accept", "src": ["user:*@nowhere.org"], "dst": ["tag:server:1"]}])
    assert messages(rules) == [f"nowhere.org {tail}"]
    ssh = {"action": "accept", "dst": ["tag:server"], "users": ["root"]}
    assert messages(policy(ssh=[{**ssh, "src": ["user:*@Example.com"]}])) == [f"[ssh] Example.com {tail}"]
    local = {**ssh, "src": ["autogroup:member"], "users": ["localpart:*@*"]}
    assert messages(policy(ssh=[local])) == [f"* {tail}"]
    assert messages(policy(ssh=[{**local, "users": ["localpart:*@example.com", "localpart:x"]}])) == []


def test_groups_may_come_from_outside() -> None:
    rules = policy(acls=[{"action": "accept", "src": ["group:sso@x.y"], "dst": ["tag:server:1"]}])
    assert messages(rules) == ['group not found: "group:sso@x.y"']
    assert messages(rules, replace(FACTS, extra_groups={"group:sso@x.y": ["bob@example.com"]})) == []
