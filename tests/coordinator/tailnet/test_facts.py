"""The tailnet as the policy engine sees it."""

from __future__ import annotations

from dataclasses import replace

from coordinator.tailnet.facts import node_fact, tailnet_facts
from tests.support.builders import make_node, make_user


def test_only_a_routers_presence_matters() -> None:
    node = make_node(1)
    assert node_fact(node, 0) == node_fact(replace(node, online=True), 0)
    router = make_node(1, approved_routes=("10.0.0.0/8",))
    assert node_fact(router, 0) != node_fact(replace(router, online=True), 0)


def test_a_tagged_node_has_no_user() -> None:
    assert node_fact(make_node(1, tags=("tag:a",), user_id=1), 0).user_id is None


def test_posture_attributes_come_from_hostinfo() -> None:
    node = make_node(1, hostinfo={"OS": "linux", "OSVersion": 7, "IPNVersion": "1.83.0-t1"})
    assert node_fact(node, 0).attributes == {
        "node:os": "linux",
        "node:tsVersion": "1.83.0-t1",
        "node:tsReleaseTrack": "unstable",
    }


def test_users_are_known_by_their_login() -> None:
    (user,) = tailnet_facts([make_user(1, name="a", email="a@b.c")], domain="d").users
    assert (user.login, user.name) == ("a@b.c", "a")


def test_a_route_counts_while_it_is_approved_and_advertised() -> None:
    node = make_node(1, approved_routes=("10.0.0.0/8",))
    assert node_fact(node, 0).approved_routes == ("10.0.0.0/8",)
    assert node_fact(replace(node, hostinfo={}), 0).approved_routes == ()
    assert node_fact(make_node(1, hostinfo={"RoutableIPs": ["10.0.0.0/8"]}), 0).approved_routes == ()


def test_groups_of_users_name_their_identities() -> None:
    users = [
        make_user(1, provider_identifier="https://i/1", groups=("group:a", "group:b")),
        make_user(2, provider_identifier="https://i/2", groups=("group:b",)),
        make_user(3, groups=("group:a",)),
    ]
    facts = tailnet_facts(users, domain="d", declared_groups=("group:later",))
    assert facts.extra_groups == {
        "group:later": [],
        "group:a": ["https://i/1"],
        "group:b": ["https://i/1", "https://i/2"],
    }
