"""SSH rules of single nodes."""

from __future__ import annotations

from typing import Any

import acl
from tests.acl.tailnets import index, names, node, policy

NODES = [
    node(1, 1),
    node(2, 2),
    node(3, 3),
    node(4, "tag:server"),
    node(5, ("tag:db", "tag:client")),
    node(6, 1),
]


def built(*entries: dict[str, Any], **sections: Any) -> acl.PolicyIndex:
    base = {"action": "accept", "users": ["root"]}
    return index(policy(acls=[], ssh=[{**base, **entry} for entry in entries], **sections), *NODES)


def brief(rules: tuple[acl.SSHRule, ...]) -> list[Any]:
    """IPv4 principals' last numbers and the login map of each rule."""
    return [([int(p.rpartition(".")[2]) for p in r.principals if "." in p], dict(r.ssh_users)) for r in rules]


def test_destinations_get_the_rule_with_all_principals() -> None:
    idx = built({"src": ["alice@", "bob@"], "dst": ["tag:server"], "users": ["autogroup:nonroot", " deploy"]})
    assert brief(idx.ssh_rules(4)) == [([1, 6, 2], {"*": "=", "deploy": "deploy", "root": ""})]
    assert idx.ssh_rules(1) == idx.ssh_rules(5) == ()
    assert idx.ssh_rules(4)[0].principals[:2] == ("100.64.0.1", "fd7a:115c:a1e0::1")
    assert idx.ssh_rules(4)[0].action == acl.SSHAction(kind="accept")


def test_no_source_no_rule() -> None:
    assert built({"src": ["tag:exit"], "dst": ["tag:server"]}).ssh_rules(4) == ()
    assert built({"src": [], "dst": ["tag:server"]}).ssh_rules(4) == ()


def test_tagged_sources_count_once_per_tag() -> None:
    idx = built({"src": ["autogroup:tagged"], "dst": ["tag:server"]})
    assert brief(idx.ssh_rules(4))[0][0] == [4, 5, 5]


def test_self_means_the_users_own_nodes() -> None:
    idx = built({"src": ["autogroup:member"], "dst": ["autogroup:self"]})
    assert [p for p, _ in brief(idx.ssh_rules(1))] == [[1, 6]]
    assert [p for p, _ in brief(idx.ssh_rules(2))] == [[2]]
    assert idx.ssh_rules(4) == ()


def test_check_rules_come_first_and_carry_their_period() -> None:
    idx = built(
        {"src": ["alice@"], "dst": ["tag:server"]},
        {
            "src": ["bob@"],
            "dst": ["tag:server"],
            "action": "check",
            "checkPeriod": "1h",
            "acceptEnv": ["A", "B*"],
        },
        {"src": ["bob@"], "dst": ["tag:server"], "action": "check", "checkPeriod": "always"},
        {"src": ["bob@"], "dst": ["tag:server"], "action": "check"},
    )
    found = idx.ssh_rules(4)
    assert [r.action.kind for r in found] == ["check", "check", "check", "accept"]
    assert [r.action.check_period for r in found] == [3600, 0, 43200, 0]
    assert found[0].accept_env == ("A", "B*")


def test_localpart_cuts_the_rule_up_by_user() -> None:
    idx = built(
        {"src": ["autogroup:member", "tag:db"], "dst": ["tag:server"], "users": ["localpart:*@example.com"]}
    )
    none = {"root": ""}
    assert brief(idx.ssh_rules(4)) == [
        ([1, 6], none),
        ([1, 6], {"alice": "alice"}),
        ([2], none),
        ([2], {"bob": "bob"}),
        ([3], none),
        ([5], none),
    ]
    assert brief(idx.ssh_rules(2)) == [([2], none), ([2], {"bob": "bob"})]
    assert brief(idx.ssh_rules(3)) == [([3], none)]
    assert brief(idx.ssh_rules(5)) == [([5], none)]


def test_localpart_with_self() -> None:
    idx = built(
        {"src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["localpart:*@example.com"]}
    )
    assert brief(idx.ssh_rules(1)) == [([1, 6], {"root": ""}), ([1, 6], {"alice": "alice"})]
    assert brief(idx.ssh_rules(3)) == [([3], {"root": ""})]


def test_recorders() -> None:
    idx = built({"src": ["alice@"], "dst": ["tag:server"], "recorder": ["tag:db"], "enforceRecorder": True})
    action = idx.ssh_rules(4)[0].action
    assert action.recorders == ("100.64.0.5:80", "[fd7a:115c:a1e0::5]:80")
    assert action.enforce_recorder
    assert names(idx.remove(5)) == [1, 4, 5, 6]
    assert idx.ssh_rules(4)[0].action.recorders == ()


def test_postures_narrow_sources() -> None:
    idx = built(
        {"src": ["alice@", "bob@"], "dst": ["tag:server"], "srcPosture": ["posture:m"]},
        postures={"posture:m": ["node:os == 'macos'"]},
    )
    assert idx.ssh_rules(4) == ()
    assert names(idx.upsert(node(2, 2, attributes={"node:os": "macos"}))) == [2, 4]
    assert brief(idx.ssh_rules(4))[0][0] == [2]


def test_unchanged_rules_are_the_same_object() -> None:
    idx = built({"src": ["alice@"], "dst": ["tag:server"]})
    before = idx.ssh_rules(4)
    idx.upsert(node(7, 2))
    assert idx.ssh_rules(4) is before
    idx.upsert(node(8, 1))
    assert len(idx.ssh_rules(4)[0].principals) == 6
