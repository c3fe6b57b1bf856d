"""What concerns a router beside its own address."""

from __future__ import annotations

from acl.addresses import INTERNET, parse_prefix
from acl.compile import Scope, compile_rules
from acl.engine import Engine
from acl.matching import hit_sets, keeps_entry, routed_parts, takes_in_internet
from acl.routes import node_routes
from tests.acl.tailnets import FACTS, node, policy


def test_exit_nodes_are_hit_by_what_lies_wholly_in_the_internet() -> None:
    rules = [
        {"action": "accept", "src": ["tag:db"], "dst": [f"{dst}:1"]}
        for dst in ("8.8.8.0/24", "128.0.0.0/1", "10.0.0.0/8")
    ]
    exit_node = node(1, "tag:exit", approved_routes=("0.0.0.0/0",))
    engine = Engine(policy(acls=rules), FACTS, [exit_node])
    _, hit = hit_sets(engine, engine.class_of[1])
    assert {s.spec.ranges[0].text: only for s, only in hit.items() if s.spec.ranges} == {"8.8.8.0/24": True}


def test_one_set_is_judged_as_all_sets_are() -> None:
    dsts = ("tag:db", "*", "8.8.8.0/24", "10.0.0.0/8", "100.64.0.2", "autogroup:internet")
    rules = [{"action": "accept", "src": ["tag:client"], "dst": [f"{dst}:1"]} for dst in dsts]
    for routes in ((), ("0.0.0.0/0",), ("10.1.0.0/16",), ("100.64.0.0/24",)):
        router = node(1, "tag:exit", approved_routes=routes)
        engine = Engine(policy(acls=rules), FACTS, [router, node(2, "tag:db")])
        for cls in engine.classes.values():
            _, hit = hit_sets(engine, cls)
            assert {s for s in engine.sets.values() if keeps_entry(engine, cls, s)} == set(hit)


def test_a_node_without_address_is_concerned_by_nothing() -> None:
    engine = Engine(None, FACTS, [node(1, 1, ipv4=None, ipv6=None)])
    assert hit_sets(engine, engine.class_of[1]) == ([], {})


def test_a_via_grant_on_one_router() -> None:
    grant = {
        "src": ["*"],
        "dst": ["10.0.0.0/8", "192.168.0.0/16", "autogroup:internet"],
        "ip": ["*"],
        "via": ["tag:router"],
    }
    template = next(t for t in compile_rules(policy(grants=[grant])) if t.scope is Scope.VIA)
    subnet = node_routes(node(1, "tag:router", approved_routes=("10.3.0.0/16",)))
    exits = node_routes(node(1, "tag:router", approved_routes=("::/0",)))
    assert [item.text for item, _ in routed_parts(template, subnet)] == ["10.0.0.0/8"]
    assert len(routed_parts(template, exits)) == len(INTERNET)


def test_taking_in_the_internet() -> None:
    everything, half = parse_prefix("0.0.0.0/0"), parse_prefix("0.0.0.0/1")
    assert everything is not None
    assert half is not None
    assert takes_in_internet(INTERNET)
    assert takes_in_internet([everything])
    assert not takes_in_internet([half])
    assert not takes_in_internet([])
