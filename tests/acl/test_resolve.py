"""Whom selectors mean, and how sets are spelled."""

from __future__ import annotations

from dataclasses import replace

import acl
from acl.addresses import parse_prefix
from acl.compile import SetSpec
from acl.nodes import NodeTable
from acl.resolve import AddressSet, IdentityDirectory
from tests.acl.tailnets import FACTS, USERS, node, policy


def directory(facts: acl.TailnetFacts = FACTS) -> IdentityDirectory:
    return IdentityDirectory(
        policy(groups={"group:a": ["alice@example.com", "nobody@example.com", "carol@"], "group:none": []}),
        facts,
    )


def test_users_by_login_name_and_group() -> None:
    known = directory()
    assert known.users_of("alice@example.com") == {1}
    assert known.users_of("bob@") == {2}
    assert known.users_of("group:a") == {1, 3}
    assert (
        known.users_of("group:none")
        == known.users_of("x@y.z")
        == known.users_of("group:unknown")
        == frozenset()
    )


def test_roles_and_domains() -> None:
    known = directory()
    assert known.users_of("autogroup:admin") == {1, 2}
    assert known.users_of("autogroup:owner") == {1}
    assert known.users_of("autogroup:member") == {1, 2, 3}
    assert known.users_of("user:*@example.com") == {1, 2}
    assert known.users_of("autogroup:auditor") == frozenset()


def test_the_providers_identifier_wins() -> None:
    users = (*USERS, acl.UserFact(id=8, login="x@y.z", name="x", provider_identifier="alice@example.com"))
    assert directory(replace(FACTS, users=users)).users_of("alice@example.com") == {8}


def test_groups_from_outside_add_to_the_policys() -> None:
    known = directory(replace(FACTS, extra_groups={"group:a": ["bob@example.com"], "group:s@x": ["bob@"]}))
    assert known.users_of("group:a") == {1, 2, 3}
    assert known.users_of("group:s@x") == {2}


def test_nodes() -> None:
    known = directory()
    assert known.matches("group:a", 1, ())
    assert not known.matches("group:a", 1, ("tag:server",))
    assert known.matches("autogroup:tagged", None, ("tag:server",))
    assert known.matches("tag:server", None, ("tag:db", "tag:server"))
    assert known.matches("autogroup:member", None, ())


def table_of(*nodes: acl.NodeFact) -> NodeTable:
    table = NodeTable()
    for one in nodes:
        table.add(one)
    return table


def test_strings_are_a_sorted_union() -> None:
    lan, single = parse_prefix("10.0.0.0/8"), parse_prefix("100.64.0.2")
    assert lan is not None
    assert single is not None
    table = table_of(node(1, 1), node(2, 1))
    some = AddressSet(SetSpec(ranges=(lan, single), wildcard=True))
    some.add(0b110, whole=True)
    assert some.strings(table, ["192.168.0.0/24", "10.0.0.0/8"]) == (
        "10.0.0.0/8",
        "100.115.94.0-100.127.255.255",
        "100.64.0.0-100.115.91.255",
        "100.64.0.1",
        "100.64.0.2",
        "192.168.0.0/24",
        "fd7a:115c:a1e0::/48",
        "fd7a:115c:a1e0::1",
        "fd7a:115c:a1e0::2",
    )


def test_strings_follow_members_coming_and_going() -> None:
    table = table_of(*(node(number, 1) for number in range(1, 6)))
    some = AddressSet(SetSpec(identities=("autogroup:member",)))
    some.add(0b1110, whole=True)
    first = some.strings(table, ())
    assert some.strings(table, ()) is first
    some.add(0b100000, whole=True)
    some.drop_node_strings(table, 2)
    some.remove(0b100)
    assert some.strings(table, ()) == tuple(sorted(t for i in (1, 3, 5) for t in table.strings(i)))


def test_danger_all_is_a_star_alone() -> None:
    some = AddressSet(SetSpec(identities=("tag:a",), everything=True))
    some.add(0b10, whole=True)
    assert some.strings(table_of(node(1, "tag:a")), ()) == ("*",)


def test_keys_are_equal_when_the_strings_are() -> None:
    table = table_of(node(1, 1), node(2, 1, ipv6=None))
    by_user, by_address = (
        AddressSet(SetSpec(identities=("alice@",))),
        AddressSet(
            SetSpec(
                ranges=tuple(
                    p for p in map(parse_prefix, ("100.64.0.1", "fd7a:115c:a1e0::1")) if p is not None
                )
            )
        ),
    )
    by_user.add(0b10, whole=True)
    assert by_user.strings(table, ()) == by_address.strings(table, ())
    assert by_user.content_key(table, {}) == by_address.content_key(table, {})
    by_user.add(0b100, whole=True)
    assert by_user.content_key(table, {}) != by_address.content_key(table, {})
    assert AddressSet(SetSpec()).content_key(table, {}) is None
