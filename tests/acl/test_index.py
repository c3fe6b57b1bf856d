"""The index: answers stay those of a fresh one, and everybody whose answers change is named."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import acl
from tests.acl.tailnets import FACTS, USERS, index, names, node, policy

POLICIES: list[acl.Policy | None] = [
    None,
    policy(acls=[]),
    policy(
        acls=[{"action": "accept", "src": ["autogroup:member"], "dst": ["tag:server:22", "10.0.0.0/8:*"]}]
    ),
    policy(
        groups={"group:dev": ["alice@example.com", "bob@example.com"], "group:ops": ["bob@example.com"]},
        hosts={"lan": "10.0.0.0/16", "box": "100.64.0.3"},
        acls=[
            {"action": "accept", "src": ["group:ops"], "dst": ["tag:db:1"]},
            {"action": "accept", "src": ["group:dev"], "dst": ["tag:server:22", "autogroup:self:*"]},
            {"action": "accept", "src": ["bob@example.com"], "dst": ["tag:server:443", "box:80"]},
            {"action": "accept", "src": ["lan"], "dst": ["bob@example.com:*"]},
            {"action": "accept", "src": ["100.64.0.2", "box"], "dst": ["tag:server:3"], "proto": "tcp"},
        ],
    ),
    policy(
        grants=[
            {"src": ["*"], "dst": ["autogroup:internet"], "ip": ["*"]},
            {"src": ["tag:client"], "dst": ["10.0.0.0/8"], "ip": ["*"], "via": ["tag:router"]},
            {
                "src": ["autogroup:member"],
                "dst": ["autogroup:self"],
                "ip": ["tcp:22"],
                "app": {"e.com/a": [{}]},
            },
            {
                "src": ["tag:client"],
                "dst": ["tag:server", "10.0.0.0/24"],
                "app": {"tailscale.com/cap/drive": []},
            },
            {"src": ["tag:db"], "dst": ["autogroup:internet"], "ip": ["443"], "via": ["tag:exit"]},
        ]
    ),
    policy(
        postures={"posture:mac": ["node:os == 'macos'"]},
        acls=[
            {"action": "accept", "src": ["*"], "dst": ["tag:server:*"], "srcPosture": ["posture:mac"]},
            {
                "action": "accept",
                "src": ["100.64.0.0/30"],
                "dst": ["tag:db:*"],
                "srcPosture": ["posture:mac"],
            },
            {"action": "accept", "src": ["100.64.0.0/30", "tag:db"], "dst": ["100.64.0.4/30:*"]},
        ],
        nodeAttrs=[{"target": ["autogroup:member"], "attr": ["disable-ipv4"]}],
    ),
    policy(
        acls=[
            {"action": "accept", "src": ["*"], "dst": ["*:22"]},
            {"action": "accept", "src": ["*", "10.0.0.0/16"], "dst": ["tag:server:443"]},
            {"action": "accept", "src": ["tag:client", "bob@example.com"], "dst": ["*:*"]},
        ],
        ssh=[
            {
                "action": "check",
                "src": ["autogroup:member"],
                "dst": ["autogroup:self"],
                "users": ["root", "localpart:*@example.com"],
            },
            {
                "action": "accept",
                "src": ["autogroup:tagged", "bob@example.com"],
                "dst": ["tag:server", "tag:db"],
                "users": ["autogroup:nonroot", "localpart:*@example.com"],
                "recorder": ["tag:exit"],
            },
            {"action": "accept", "src": ["tag:client"], "dst": ["tag:server"], "users": ["deploy"]},
        ],
    ),
]

COMPANY: dict[str, Any] = {
    "groups": {"group:dev": ["alice@example.com", "bob@example.com"]},
    "grants": [
        {"src": ["tag:client"], "dst": ["10.0.0.0/8"], "ip": ["*"], "via": ["tag:router"]},
        {"src": ["alice@"], "dst": ["tag:db"], "ip": ["9"]},
        {"src": ["tag:client"], "dst": ["tag:server"], "ip": ["1"]},
        {"src": ["group:dev"], "dst": ["tag:server", "tag:client"], "ip": ["2"]},
        {"src": ["10.0.0.0/16"], "dst": ["bob@"], "ip": ["3"]},
        {"src": ["autogroup:member"], "dst": ["autogroup:self"], "ip": ["4"]},
    ],
}
# Edits of one policy: without a rule, with a rule more, in another order, another group, another via.
POLICIES += [
    policy(**COMPANY),
    policy(**{**COMPANY, "grants": COMPANY["grants"][:2] + COMPANY["grants"][3:]}),
    policy(**{**COMPANY, "grants": [{"src": ["*"], "dst": ["tag:db"], "ip": ["5"]}, *COMPANY["grants"]]}),
    policy(**{**COMPANY, "grants": [COMPANY["grants"][i] for i in (0, 3, 2, 1, 4, 5)]}),
    policy(**{**COMPANY, "groups": {"group:dev": ["alice@example.com"]}}),
    policy(**{**COMPANY, "grants": [{**COMPANY["grants"][0], "via": ["tag:exit"]}, *COMPANY["grants"][1:]]}),
    policy(**COMPANY, nodeAttrs=[{"target": ["tag:server", "10.0.0.0/8"], "attr": ["disable-ipv4"]}]),
]

ROUTES = ["10.0.0.0/16", "10.0.0.0/24", "10.1.0.0/16", "0.0.0.0/0", "::/0", "100.64.0.0/29", "192.168.0.0/24"]
TAGS = ["tag:server", "tag:client", "tag:router", "tag:exit", "tag:db"]
COUNT = 8


@st.composite
def nodes(draw: st.DrawFn) -> acl.NodeFact:
    number = draw(st.integers(1, COUNT))
    tags = tuple(draw(st.lists(st.sampled_from(TAGS), max_size=2, unique=True)))
    more: dict[str, Any] = {
        "approved_routes": tuple(draw(st.lists(st.sampled_from(ROUTES), max_size=2, unique=True)))
        if draw(st.integers(0, 2)) == 0
        else (),
        "online": draw(st.booleans()),
        "attributes": {"node:os": draw(st.sampled_from(["macos", "linux"]))},
        "tags": tags,
        "user_id": draw(st.sampled_from([1, 2, 3])),
    }
    shape = draw(st.integers(0, 9))
    if shape == 0:
        more["ipv4"] = IPv4Address(0x0A000000 + number)  # outside the tailnet's own range
    elif shape == 1:
        more["ipv4"] = None
    elif shape == 2:
        more["ipv6"] = None
    elif shape == 3:
        more["created_order"] = 100 - number
    elif shape == 4:
        more["ipv4"] = more["ipv6"] = None
    return node(number, 1, **more)


USER_SETS = [
    FACTS,
    replace(FACTS, users=(*USERS[:2], replace(USERS[2], role="admin"))),
    replace(FACTS, users=USERS[1:]),
    replace(FACTS, users=(*USERS, acl.UserFact(id=9, login="dan@example.com", name="dan"))),
    replace(FACTS, auto_updates=True),
]
STEPS = st.lists(
    st.one_of(
        nodes().map(lambda n: ("upsert", n)),
        nodes().map(lambda n: ("upsert", n)),
        nodes().map(lambda n: ("upsert", n)),
        st.integers(1, COUNT).map(lambda i: ("remove", i)),
        st.integers(0, len(POLICIES) - 1).map(lambda i: ("policy", i)),
        st.integers(0, len(USER_SETS) - 1).map(lambda i: ("facts", i)),
    ),
    min_size=1,
    max_size=14,
)


def answers(idx: acl.PolicyIndex, present: dict[int, acl.NodeFact]) -> dict[int, Any]:
    out: dict[int, Any] = {}
    for one in present.values():
        peers = idx.peers(one.id)
        views = {p.id: idx.peer_view(one.id, p.id) for p in present.values() if peers >> p.index & 1}
        out[one.index] = (
            peers,
            views,
            idx.filter_rules(one.id),
            idx.ssh_rules(one.id),
            idx.self_view(one.id),
        )
    return out


@settings(max_examples=150, deadline=None)
@given(start=st.integers(0, len(POLICIES) - 1), steps=STEPS)
def test_incremental_equals_fresh_and_names_everybody(start: int, steps: list[tuple[str, Any]]) -> None:
    facts, in_force = FACTS, POLICIES[start]
    present: dict[int, acl.NodeFact] = {}
    idx = acl.PolicyIndex(in_force, facts)
    before: dict[int, Any] = {}
    for kind, what in steps:
        if kind == "upsert":
            present[what.id] = what
            named = idx.upsert(what)
        elif kind == "remove":
            present.pop(what, None)
            named = idx.remove(what)
        elif kind == "policy":
            in_force = POLICIES[what]
            named = idx.replace_policy(in_force)
        else:
            facts = USER_SETS[what]
            named = idx.replace_facts(facts)
        now = answers(idx, present)
        assert now == answers(acl.PolicyIndex(in_force, facts, present.values()), present)
        for index_, answer in now.items():
            if before.get(index_) != answer:
                assert named >> index_ & 1, f"{index_} changed by {kind} and was not named"
            for peer in names(answer[0]):
                assert now[peer][0] >> index_ & 1, "visibility is symmetric"
        if kind in ("policy", "facts"):
            assert set(names(named)) == {i for i in now if before.get(i) != now[i]}, (
                "exactly the changed ones"
            )
        before = now


def test_a_routeless_join_under_allow_all_leaves_filters_alone() -> None:
    idx = index(None, node(1, 1), node(2, 2), node(3, "tag:server"))
    filters = [idx.filter_rules(i) for i in (1, 2, 3)]
    assert names(idx.upsert(node(4, 3))) == [1, 2, 3, 4]
    assert all(idx.filter_rules(i) is rules for i, rules in zip((1, 2, 3), filters, strict=True))
    assert filters[0] is filters[1] is filters[2]


def test_a_join_names_only_those_who_see_it() -> None:
    idx = index(
        policy(acls=[{"action": "accept", "src": ["tag:client"], "dst": ["tag:server:22"]}]),
        node(1, "tag:client"),
        node(2, "tag:server"),
        node(3, "tag:db"),
    )
    assert names(idx.upsert(node(4, "tag:client"))) == [2, 4]
    assert names(idx.upsert(node(5, "tag:db"))) == [5]


def test_a_change_no_policy_looks_at_names_nobody() -> None:
    idx = index(None, node(1, 1), node(2, 2))
    assert idx.upsert(node(2, 2, name="renamed")) == 0
    assert idx.upsert(node(2, 2, name="renamed", online=False)) == 0
    assert idx.engine.nodes.by_id[2].name == "renamed"


def test_an_edit_of_one_rule_names_those_it_concerns() -> None:
    rules = [
        {"action": "accept", "src": ["tag:client"], "dst": ["tag:server:22"]},
        {"action": "accept", "src": ["alice@"], "dst": ["tag:db:5432"]},
    ]
    idx = index(
        policy(acls=rules), node(1, "tag:client"), node(2, "tag:server"), node(3, "tag:db"), node(4, 1)
    )
    rules[1] = {"action": "accept", "src": ["alice@"], "dst": ["tag:db:5433"]}
    assert names(idx.replace_policy(policy(acls=rules))) == [3]
    rules[1] = {"action": "accept", "src": ["bob@"], "dst": ["tag:db:5433"]}
    assert names(idx.replace_policy(policy(acls=rules))) == [3, 4]
    assert idx.replace_policy(policy(acls=rules)) == 0


def test_a_new_user_without_nodes_names_nobody() -> None:
    idx = index(policy(acls=[]), node(1, 1))
    users = (*USERS, acl.UserFact(id=7, login="new@example.com", name="new"))
    assert idx.replace_facts(replace(FACTS, users=users)) == 0


def test_questions_about_absent_nodes_raise() -> None:
    idx = index(None, node(1, 1))
    assert idx.remove(9) == 0
    with pytest.raises(KeyError):
        idx.peers(9)


def test_views_differ_only_for_routers_and_special_viewers() -> None:
    idx = index(
        policy(nodeAttrs=[{"target": ["bob@"], "attr": ["disable-ipv4"]}]),
        node(1, 1),
        node(2, 2),
        node(3, "tag:router", approved_routes=("10.0.0.0/16",)),
    )
    assert names(idx.has_special_view()) == [3]
    assert not idx.viewer_is_special(1)
    assert idx.viewer_is_special(2)
    assert idx.default_view(1).addresses == ("100.64.0.1/32", "fd7a:115c:a1e0::1/128")
    assert idx.peer_view(2, 1).addresses == ("fd7a:115c:a1e0::1/128",)
    assert idx.default_view(2).addresses == ("fd7a:115c:a1e0::2/128",)
    assert idx.peer_view(1, 3).allowed_ips == ("100.64.0.3/32", "fd7a:115c:a1e0::3/128", "10.0.0.0/16")


def test_self_view_has_all_own_routes_and_typed_capability_values() -> None:
    idx = index(
        policy(
            randomizeClientPort=True,
            nodeAttrs=[{"target": ["*"], "app": {"tailscale.com/app-connectors": [{"name": "x"}]}}],
        ),
        node(1, "tag:router", approved_routes=("10.0.0.0/16", "0.0.0.0/0")),
        node(2, "tag:router", approved_routes=("10.0.0.0/16",)),
    )
    own = idx.self_view(1)
    assert own.allowed_ips[2:] == ("0.0.0.0/0", "10.0.0.0/16")
    assert own.primary_routes == ("10.0.0.0/16",)
    assert idx.self_view(2).primary_routes == ()
    assert own.cap_map["tailscale.com/app-connectors"] == ({"name": "x"},)
    assert own.cap_map["randomize-client-port"] is None


def test_pools_and_approvals_do_not_need_the_node_present() -> None:
    idx = index(
        policy(
            nodeAttrs=[{"target": ["tag:server"], "ipPool": ["100.81.0.0/16"]}],
            autoApprovers={"routes": {"10.0.0.0/8": ["tag:router"]}},
        )
    )
    stranger = node(5, "tag:server", ipv4=None, ipv6=None)
    assert [str(pool) for pool in idx.ip_pool(stranger)] == ["100.81.0.0/16"]
    assert idx.ip_pool(node(6, 1, ipv4=None)) == ()
    assert idx.auto_approved(node(7, "tag:router"), ["10.1.0.0/16", "0.0.0.0/0"]) == ("10.1.0.0/16",)
    assert idx.tag_exists("tag:server")
    assert not idx.tag_exists("tag:nothing")
    assert idx.tag_allowed("tag:server", 1)
    assert not idx.tag_allowed("tag:server", 2)
