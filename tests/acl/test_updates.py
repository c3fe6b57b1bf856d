"""Nodes coming and going: who is named; exactness in general is proven in `test_index`."""

from __future__ import annotations

from typing import Any

from acl import updates
from acl.engine import Engine
from tests.acl.tailnets import FACTS, index, names, node, policy

LAN = "10.0.0.0/16"


def accept(src: str, dst: str) -> dict[str, Any]:
    return {"action": "accept", "src": [src], "dst": [dst]}


def test_add_and_remove_undo_each_other() -> None:
    engine = Engine(
        policy(acls=[accept("alice@", "tag:server:1")]), FACTS, [node(1, 1), node(2, "tag:server")]
    )
    before = (len(engine.classes), engine.row(engine.class_of[2]))
    newcomer = node(3, 1, approved_routes=(LAN,))
    assert names(updates.add(engine, newcomer)) == [2, 3]
    assert names(updates.remove(engine, newcomer)) == [2, 3]
    assert (len(engine.classes), engine.row(engine.class_of[2])) == before


def test_a_router_names_the_viewers_of_the_one_it_replaces() -> None:
    idx = index(
        policy(acls=[accept("alice@", "tag:router:1"), accept("bob@", "10.0.0.0/8:1")]),
        node(1, 1),
        node(2, 2),
        node(3, "tag:router", approved_routes=(LAN,)),
        node(4, "tag:db"),
    )
    named = names(idx.upsert(node(5, "tag:exit", approved_routes=(LAN,), created_order=0)))
    assert named == [1, 2, 3, 5]


def test_a_new_subnet_changes_every_filter_that_lists_them_all() -> None:
    idx = index(
        policy(acls=[accept("*", "tag:server:1"), accept("alice@", "tag:db:1")]),
        node(1, 1),
        node(2, "tag:server"),
        node(3, "tag:db"),
        node(4, "tag:router"),
    )
    assert names(idx.upsert(node(4, "tag:router", approved_routes=(LAN,)))) == [2, 4]
    assert LAN in idx.filter_rules(2)[0].src


def test_a_node_inside_somebodys_subnet_concerns_that_router() -> None:
    idx = index(
        policy(acls=[accept("tag:client", "tag:server:1")]),
        node(1, "tag:client"),
        node(2, "tag:router", approved_routes=("100.64.0.8/29",)),
    )
    assert idx.peers(2) == 0
    assert names(idx.upsert(node(9, "tag:server"))) == [1, 2, 9]
    assert names(idx.peers(2)) == [1], "it lets the client at the server behind it"
    assert names(idx.remove(9)) == [1, 2, 9]
    assert idx.peers(2) == 0


def test_only_postures_that_rules_ask_for_matter() -> None:
    rule = {**accept("alice@", "tag:server:1"), "srcPosture": ["posture:m"]}
    idx = index(
        policy(acls=[rule], postures={"posture:m": ["node:os == 'macos'"], "posture:x": ["custom:x"]}),
        node(1, 1, attributes={"node:os": "linux"}),
        node(2, "tag:server"),
    )
    assert idx.upsert(node(1, 1, attributes={"node:os": "linux", "custom:x": True})) == 0
    assert names(idx.upsert(node(1, 1, attributes={"node:os": "macos"}))) == [1, 2]


def test_a_node_placed_anew_stays_where_it_was() -> None:
    engine = Engine(
        policy(acls=[accept("alice@", "tag:server:1")]), FACTS, [node(1, 1), node(2, "tag:server")]
    )
    assert names(updates.replace_node(engine, engine.nodes.by_id[1])) == [1, 2]
    assert names(engine.row(engine.class_of[1])) == [2]
