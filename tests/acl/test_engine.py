"""Classes, sets and the order of merged rules."""

from __future__ import annotations

from typing import Any

import acl
from acl.engine import Engine
from tests.acl.tailnets import FACTS, node, policy


def engine(*nodes: acl.NodeFact, **sections: Any) -> Engine:
    return Engine(policy(**sections), FACTS, nodes)


def accept(src: str, dst: str) -> dict[str, Any]:
    return {"action": "accept", "src": [src], "dst": [dst]}


def test_nodes_the_policy_does_not_tell_apart_are_one_class() -> None:
    members = [node(n, 1 + n % 3) for n in range(1, 9)]
    assert len(engine(*members, acls=[accept("autogroup:member", "tag:db:1")]).classes) == 1
    assert len(engine(*members, acls=[accept("alice@", "tag:db:1")]).classes) == 2
    assert len(engine(*members, acls=[accept("alice@", "autogroup:self:1")]).classes) == 3
    assert len(engine(*members, acls=[accept("100.64.0.4/31", "*:1")]).classes) == 2


def test_routers_are_classes_of_their_own() -> None:
    built = engine(
        node(1, "tag:router", approved_routes=("10.0.0.0/8",)),
        node(2, "tag:router"),
        node(3, "tag:router", approved_routes=("10.0.0.0/8",)),
    )
    assert len(built.classes) == 3
    assert built.routers == 0b1010


def test_equal_specs_are_one_set() -> None:
    built = engine(acls=[accept("alice@", "tag:db:1"), accept("alice@", "tag:server:1")])
    assert built.rules[0].source is built.rules[1].source
    assert built.address_set(built.rules[0].template.source) is built.rules[0].source


def test_rekey_names_those_whose_company_changes() -> None:
    built = engine(
        node(1, 1),
        node(2, "tag:db"),
        groups={"group:g": ["alice@", "bob@"]},
        acls=[accept("alice@", "tag:server:1"), accept("group:g", "tag:db:1")],
    )
    user, group = built.rules[0].source, built.rules[1].source
    assert user.key == group.key is not None
    assert set(built.company(user.key)) == {user, group}
    group.add(0b100, whole=True)
    assert built.rekey([group]) & built.rules[1].target_classes
    assert set(built.company(user.key)) == {user}


def test_own_sets_go_with_the_last_node_of_a_user() -> None:
    idx = acl.PolicyIndex(policy(acls=[accept("autogroup:member", "autogroup:self:*")]), FACTS)
    before = len(idx.engine.sets)
    idx.upsert(node(1, 1))
    assert len(idx.engine.sets) > before
    idx.remove(1)
    assert len(idx.engine.sets) == before
    assert idx.engine.classes == {}
