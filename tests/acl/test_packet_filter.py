"""Filters of single nodes: sources, merging, reduction, capabilities."""

from __future__ import annotations

from typing import Any

import acl
from tests.acl.tailnets import index, node, policy

WILDCARD = ("100.115.94.0-100.127.255.255", "100.64.0.0-100.115.91.255", "fd7a:115c:a1e0::/48")


def accept(src: list[str], dst: list[str], **more: Any) -> dict[str, Any]:
    return {"action": "accept", "src": src, "dst": dst, **more}


def brief(rules: tuple[acl.FilterRule, ...]) -> list[Any]:
    """Sources, then destinations with ports."""
    return [(list(r.src), [f"{d.ip}:{d.first}-{d.last}" for d in r.dst_ports]) for r in rules]


def test_the_default_policy_lets_everybody_in() -> None:
    assert brief(index(None, node(1, 1)).filter_rules(1)) == [(list(WILDCARD), ["*:0-65535"])]
    assert index(policy(acls=[]), node(1, 1)).filter_rules(1) == ()


def test_destinations_are_cut_down_to_the_node() -> None:
    idx = index(
        policy(acls=[accept(["tag:client"], ["tag:server:22", "100.64.0.0/24:80"])]),
        node(1, "tag:client"),
        node(2, "tag:server"),
        node(3, "tag:server", ipv6=None),
    )
    src = ["100.64.0.1", "fd7a:115c:a1e0::1"]
    assert brief(idx.filter_rules(1)) == [(src, ["100.64.0.0/24:80-80"])]
    assert brief(idx.filter_rules(2)) == [
        (src, ["100.64.0.2:22-22", "fd7a:115c:a1e0::2:22-22", "100.64.0.0/24:80-80"])
    ]
    assert brief(idx.filter_rules(3)) == [(src, ["100.64.0.3:22-22", "100.64.0.0/24:80-80"])]


def test_rules_with_equal_sources_merge_at_the_first_ones_place() -> None:
    rules = [
        accept(["tag:client"], ["tag:db:1"]),
        accept(["autogroup:member"], ["tag:server:2"]),
        accept(["100.64.0.1", "fd7a:115c:a1e0::1"], ["tag:server:3"]),
        accept(["tag:client"], ["tag:server:4"], proto="tcp"),
    ]
    idx = index(policy(acls=rules), node(1, "tag:client"), node(2, "tag:server"), node(3, 1))
    ports = [[d.first for d in r.dst_ports] for r in idx.filter_rules(2)]
    assert ports == [[3, 3], [2, 2], [4, 4]]
    assert [r.ip_proto for r in idx.filter_rules(2)] == [(), (), (6,)]


def test_capability_rules_do_not_merge_and_keep_empty_sources() -> None:
    app = {"e.com/a": [{"x": 1}]}
    grants = [
        {"src": ["tag:client"], "dst": ["tag:server", "*"], "app": app},
        {"src": ["tag:client"], "dst": ["tag:server"], "app": app},
        {"src": ["tag:db"], "dst": ["tag:server"], "app": {"e.com/b": []}},
    ]
    idx = index(policy(grants=grants), node(1, "tag:client"), node(2, "tag:server"))
    found = idx.filter_rules(2)
    own = ("100.64.0.2/32", "fd7a:115c:a1e0::2/128")
    assert [[g.dsts for g in r.cap_grants] for r in found] == [[own, own], [own], [own]]
    assert found[2].src == ()
    assert found[2].cap_grants[0].cap_map == (("e.com/b", ()),)
    assert [[g.dsts for g in r.cap_grants] for r in idx.filter_rules(1)] == [
        [("100.64.0.1/32", "fd7a:115c:a1e0::1/128")]
    ]


def test_routers_keep_what_overlaps_their_subnets() -> None:
    rules = [
        accept(["tag:client"], ["10.0.0.0/8:1", "10.9.0.0/16:2", "8.8.8.0/24:3", "autogroup:internet:4"])
    ]
    nodes = [
        node(1, "tag:client"),
        node(2, "tag:router", approved_routes=("10.1.0.0/16",)),
        node(3, "tag:exit", approved_routes=("0.0.0.0/0", "::/0")),
    ]
    idx = index(policy(acls=rules), *nodes)
    assert [d.ip for r in idx.filter_rules(2) for d in r.dst_ports] == ["10.0.0.0/8"]
    exit_node = [d.ip for r in idx.filter_rules(3) for d in r.dst_ports]
    assert exit_node[0] == "8.8.8.0/24"
    assert len(exit_node) == 8


def test_a_router_gets_entries_for_nodes_inside_its_subnets() -> None:
    idx = index(
        policy(acls=[accept(["tag:client"], ["tag:server:1"])]),
        node(1, "tag:client"),
        node(2, "tag:router", approved_routes=("100.64.0.0/29",)),
        node(3, "tag:server"),
    )
    assert [d.ip for r in idx.filter_rules(2) for d in r.dst_ports] == ["100.64.0.3"]


def test_self_rules_connect_a_users_own_nodes() -> None:
    grants = [
        {"src": ["autogroup:member"], "dst": ["autogroup:self"], "ip": ["22"], "app": {"e.com/a": [{}]}}
    ]
    idx = index(policy(grants=grants), node(1, 1), node(2, 1), node(3, 2), node(4, "tag:server"))
    first = idx.filter_rules(1)
    assert first[0].src == ("100.64.0.1", "100.64.0.2", "fd7a:115c:a1e0::1", "fd7a:115c:a1e0::2")
    assert [d.ip for d in first[0].dst_ports] == ["100.64.0.1", "fd7a:115c:a1e0::1"]
    assert first[1].cap_grants[0].dsts == ("100.64.0.1/32", "fd7a:115c:a1e0::1/128")
    assert idx.filter_rules(4) == ()
    assert idx.peers(1) == 0b100
    assert idx.peers(3) == 0


def test_postures_narrow_sources_to_nodes() -> None:
    rules = [
        accept(["*"], ["tag:server:1"], srcPosture=["posture:m"]),
        accept(["100.64.0.0/30"], ["tag:server:2"], srcPosture=["posture:m"]),
    ]
    the_policy = policy(acls=rules, postures={"posture:m": ["node:os == 'macos'"]})
    mac, tux = {"node:os": "macos"}, {"node:os": "linux"}
    idx = index(the_policy, node(1, 1, attributes=mac), node(2, 1, attributes=tux), node(3, "tag:server"))
    assert brief(idx.filter_rules(3)) == [
        (["100.64.0.1", "fd7a:115c:a1e0::1"], ["100.64.0.3:1-1", "fd7a:115c:a1e0::3:1-1"]),
        (["100.64.0.1"], ["100.64.0.3:2-2", "fd7a:115c:a1e0::3:2-2"]),
    ]
    assert idx.upsert(node(2, 1, attributes=mac))
    assert idx.filter_rules(3)[0].src[1] == "100.64.0.2"


def test_unchanged_parts_are_the_same_objects() -> None:
    rules = [accept(["tag:client"], ["tag:server:1"]), accept(["tag:db"], ["tag:server:2"])]
    idx = index(policy(acls=rules), node(1, "tag:client"), node(2, "tag:server"), node(3, "tag:db"))
    before = idx.filter_rules(2)
    idx.upsert(node(4, "tag:db"))
    after = idx.filter_rules(2)
    assert after[0] is before[0]
    assert after[1].src == ("100.64.0.3", "100.64.0.4", "fd7a:115c:a1e0::3", "fd7a:115c:a1e0::4")
    idx.upsert(node(5, "tag:exit"))
    assert idx.filter_rules(2) is after


def test_unreduced_rules_list_every_destination() -> None:
    grants = [
        {"src": ["tag:client"], "dst": ["tag:server", "*"], "ip": ["1"], "app": {"e.com/a": []}},
        {"src": ["tag:db"], "dst": ["*"], "ip": ["*"]},
    ]
    idx = index(policy(grants=grants), node(1, "tag:client"), node(2, "tag:server"), node(3, "tag:server"))
    ports, capability = idx.unreduced_rules()
    assert [d.ip for d in ports.dst_ports][::2] == ["100.64.0.2", "100.64.0.3"] or len(ports.dst_ports) == 5
    assert capability.cap_grants[1].dsts == ("*",)
