"""Explanations."""

from __future__ import annotations

import acl
from tests.acl.tailnets import index, node, policy

IDX = index(
    policy(
        groups={"group:dev": ["bob@example.com"]},
        acls=[
            {"action": "accept", "src": ["alice@", "group:dev"], "dst": ["tag:db:1", "tag:server:22"]},
            {"action": "accept", "src": ["tag:server"], "dst": ["10.0.0.0/8:*"], "proto": "udp"},
        ],
    ),
    node(1, 2),
    node(2, "tag:server"),
)


def test_the_deciding_rule_and_selectors() -> None:
    found = acl.explain(IDX, "n1", "tag:server", 22)
    assert found.allowed
    assert (found.rule, found.source, found.destination) == ("acls[0]", "group:dev", "tag:server")
    assert found.span is not None
    assert found.reason == f"allowed by acls[0] ({found.span}): `group:dev` to `tag:server`"


def test_denials() -> None:
    assert acl.explain(IDX, "n1", "n2", 23).reason == "no rule lets `n1` reach `n2` on port 23"
    assert not acl.explain(IDX, "100.64.0.2", "10.1.2.3", 53, "tcp").allowed
    assert acl.explain(IDX, "100.64.0.2", "10.1.2.3", 53, "udp").allowed
    assert acl.explain(IDX, "nobody", "n2", 1).reason == "`nobody` has no addresses here"


def test_without_rules_everything_is_allowed() -> None:
    found = acl.explain(index(None, node(1, 1), node(2, 2)), "n1", "n2", 1)
    assert found.allowed
    assert found.rule == ""
    assert "everything is allowed" in found.reason
