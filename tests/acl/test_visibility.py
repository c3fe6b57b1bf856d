"""What peers see of each other's addresses and routes."""

from __future__ import annotations

from typing import Any

from tests.acl.tailnets import index, names, node, policy

LAN = "10.1.0.0/16"
OPEN = {"src": ["*"], "dst": ["*"], "ip": ["*"]}


def routes(idx: Any, viewer: int, peer: int) -> list[str]:
    return list(idx.peer_view(viewer, peer).allowed_ips[2:])


def test_one_way_permission_makes_both_visible() -> None:
    idx = index(
        policy(grants=[{"src": ["tag:client"], "dst": ["tag:server"], "ip": ["22"]}]),
        node(1, "tag:client"),
        node(2, "tag:server"),
        node(3, "tag:db"),
    )
    assert [names(idx.peers(n)) for n in (1, 2, 3)] == [[2], [1], []]


def test_the_primary_carries_a_subnet_and_a_restart_moves_it() -> None:
    idx = index(
        policy(grants=[OPEN]),
        node(1, 1),
        node(2, "tag:router", approved_routes=(LAN,)),
        node(3, "tag:router", approved_routes=(LAN,)),
    )
    assert (routes(idx, 1, 2), routes(idx, 1, 3)) == ([LAN], [])
    assert routes(idx, 3, 2) == [LAN]
    assert idx.upsert(node(2, "tag:router", approved_routes=(LAN,), online=False)) & 0b10
    assert (routes(idx, 1, 2), routes(idx, 1, 3)) == ([], [LAN])
    assert idx.peer_view(1, 3).primary_routes == (LAN,)
    assert idx.upsert(node(1, 1, online=False)) == 0
    assert idx.upsert(node(2, "tag:router", approved_routes=(LAN,), online=False, name="renamed")) == 0


def test_a_subnet_is_shown_to_those_who_may_reach_it() -> None:
    grants = [
        {"src": ["tag:client"], "dst": ["10.1.2.0/24"], "ip": ["*"]},
        {"src": ["tag:db"], "dst": ["tag:router"], "ip": ["22"]},
        {"src": ["10.0.0.0/8"], "dst": ["tag:server"], "ip": ["*"]},
    ]
    idx = index(
        policy(grants=grants),
        node(1, "tag:client"),
        node(2, "tag:router", approved_routes=(LAN,)),
        node(3, "tag:db"),
        node(4, "tag:server"),
    )
    assert names(idx.peers(2)) == [1, 3, 4]
    assert routes(idx, 1, 2) == [LAN]
    assert routes(idx, 3, 2) == []
    assert routes(idx, 4, 2) == [LAN], "return traffic needs the route, too"


def test_subnet_routers_see_each_other_for_their_subnets() -> None:
    idx = index(
        policy(grants=[{"src": [LAN], "dst": ["10.2.0.0/16"], "ip": ["*"]}]),
        node(1, "tag:router", approved_routes=(LAN,)),
        node(2, "tag:router", approved_routes=("10.2.0.0/16",)),
        node(3, 1),
    )
    assert (routes(idx, 1, 2), routes(idx, 2, 1)) == (["10.2.0.0/16"], [LAN])
    assert idx.peers(3) == 0


def test_co_routers_know_the_primary() -> None:
    idx = index(
        policy(grants=[{"src": ["tag:router"], "dst": ["tag:router"], "ip": ["22"]}]),
        node(1, "tag:router", approved_routes=(LAN,)),
        node(2, "tag:router", approved_routes=(LAN,)),
        node(3, "tag:router"),
    )
    assert routes(idx, 2, 1) == [LAN]
    assert routes(idx, 1, 2) == routes(idx, 3, 1) == []


def test_exit_nodes_are_offered_to_those_who_may_use_the_internet() -> None:
    exits = ("0.0.0.0/0", "::/0")
    grants = [
        {"src": ["tag:client"], "dst": ["autogroup:internet"], "ip": ["*"]},
        {"src": ["tag:db"], "dst": ["tag:exit"], "ip": ["*"]},
    ]
    idx = index(
        policy(grants=grants),
        node(1, "tag:client"),
        node(2, "tag:exit", approved_routes=exits),
        node(3, "tag:db"),
    )
    view = idx.peer_view(1, 2)
    assert view.allowed_ips[2:] == exits
    assert view.primary_routes == ()
    assert view.caps == (("suggest-exit-node", None),)
    assert routes(idx, 3, 2) == []


def test_via_sends_different_viewers_through_different_routers() -> None:
    grants = [
        {"src": ["tag:client"], "dst": ["10.0.0.0/8"], "ip": ["*"], "via": ["tag:db"]},
        {"src": ["tag:server"], "dst": [LAN], "ip": ["*"], "via": ["tag:router"]},
    ]
    idx = index(
        policy(grants=grants),
        node(1, "tag:client"),
        node(2, "tag:server"),
        node(3, "tag:router", approved_routes=(LAN,)),
        node(4, "tag:db", approved_routes=(LAN,)),
    )
    assert names(idx.peers(1)) == [4]
    assert names(idx.peers(2)) == [3]
    assert routes(idx, 1, 4) == routes(idx, 2, 3) == [LAN]
    assert idx.peer_view(1, 4).primary_routes == (LAN,)
    assert [d.ip for r in idx.filter_rules(4) for d in r.dst_ports] == ["10.0.0.0/8"]


def test_via_gives_way_to_ordinary_access() -> None:
    grants = [
        {"src": ["tag:client"], "dst": [LAN], "ip": ["*"], "via": ["tag:db"]},
        {"src": ["tag:client"], "dst": [LAN, "tag:db"], "ip": ["*"]},
    ]
    idx = index(
        policy(grants=grants),
        node(1, "tag:client"),
        node(3, "tag:router", approved_routes=(LAN,)),
        node(4, "tag:db", approved_routes=(LAN,)),
    )
    assert (routes(idx, 1, 3), routes(idx, 1, 4)) == ([LAN], [])


def test_an_app_only_via_grant_makes_visible_and_filters_nothing() -> None:
    grants = [{"src": ["tag:client"], "dst": [LAN], "app": {"e.com/a": [{}]}, "via": ["tag:router"]}]
    idx = index(policy(grants=grants), node(1, "tag:client"), node(2, "tag:router", approved_routes=(LAN,)))
    assert names(idx.peers(1)) == [2]
    assert idx.filter_rules(2) == ()
    assert routes(idx, 1, 2) == [LAN]
