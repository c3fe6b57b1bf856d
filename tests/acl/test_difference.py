"""What an edit changes for whom; exactness in general is proven in `test_index`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import acl
from acl.difference import same_for_present_users
from acl.resolve import IdentityDirectory
from tests.acl.tailnets import FACTS, USERS, index, names, node, policy

NODES = [node(1, 1), node(2, 2), node(3, "tag:server"), node(4, "tag:db"), node(5, "tag:client")]


def accept(src: str, dst: str) -> dict[str, Any]:
    return {"action": "accept", "src": [src], "dst": [dst]}


def changed(before: dict[str, Any], after: dict[str, Any], *nodes: acl.NodeFact) -> list[int]:
    return names(index(policy(**before), *(nodes or NODES)).replace_policy(policy(**after)))


def test_inserting_a_rule_names_its_two_sides() -> None:
    rules = [accept("alice@", "tag:server:1"), accept("bob@", "tag:db:1")]
    added = [rules[0], accept("tag:client", "tag:db:2"), rules[1]]
    assert changed({"acls": rules}, {"acls": added}) == [4, 5]
    assert changed({"acls": added}, {"acls": rules}) == [4, 5]


def test_a_group_edit_names_who_joined_and_whom_they_reach() -> None:
    rules = [accept("group:g", "tag:server:1"), accept("tag:client", "tag:db:1")]
    one, two = {"group:g": ["alice@"]}, {"group:g": ["alice@", "bob@"]}
    assert changed({"acls": rules, "groups": one}, {"acls": rules, "groups": two}) == [2, 3]


def test_another_order_names_whose_filter_is_ordered_anew() -> None:
    rules = [
        accept("alice@", "tag:server:1"),
        accept("bob@", "tag:server:2"),
        accept("tag:client", "tag:db:1"),
    ]
    assert changed({"acls": rules}, {"acls": [rules[1], rules[0], rules[2]]}) == [3]


def test_a_new_company_moves_rules_of_others() -> None:
    # With alice alone in the group, both sources are spelled alike and their rules stand together.
    rules = [accept("alice@", "tag:db:9"), accept("bob@", "tag:server:2"), accept("group:g", "tag:server:3")]
    apart = {"acls": rules, "groups": {"group:g": ["alice@", "bob@"]}}
    together = {"acls": rules, "groups": {"group:g": ["alice@"]}}
    idx = index(policy(**apart), *NODES)
    assert [r.dst_ports[0].first for r in idx.filter_rules(3)] == [2, 3]
    assert names(idx.replace_policy(policy(**together))) == [3]
    assert [r.dst_ports[0].first for r in idx.filter_rules(3)] == [3, 2]


def test_comments_and_spelling_change_nobody() -> None:
    idx = index(acl.parse_policy('{"acls": [{"action":"accept","src":["*"],"dst":["*:*"]}]}'), *NODES)
    assert (
        idx.replace_policy(
            acl.parse_policy('{"acls":\n// all\n[{"action":"accept","src":["*"],"dst":["*:*"]}]}')
        )
        == 0
    )
    assert idx.replace_policy(None) == 0


def test_attributes_and_ssh() -> None:
    rules = {"acls": [accept("alice@", "tag:server:1")]}
    one = {"nodeAttrs": [{"target": ["tag:server"], "attr": ["x"]}]}
    assert changed(rules, {**rules, **one}) == [3]
    faded = {"nodeAttrs": [{"target": ["tag:server"], "attr": ["disable-ipv4"]}]}
    assert changed(rules, {**rules, **faded}) == [1, 3]
    ssh = {"ssh": [{"action": "accept", "src": ["bob@"], "dst": ["tag:db"], "users": ["root"]}]}
    assert changed(rules, {**rules, **ssh}) == [4]


def test_roles_show_on_the_users_own_nodes() -> None:
    idx = index(policy(acls=[]), *NODES)
    users = (USERS[0], replace(USERS[1], role="member"), USERS[2])
    assert names(idx.replace_facts(replace(FACTS, users=users))) == [2]


def test_facts_about_absent_users_concern_nobody() -> None:
    idx = index(policy(acls=[accept("carol@", "tag:db:1"), accept("autogroup:admin", "tag:db:2")]), *NODES)
    for users, same in ((USERS[:2], True), (USERS[1:], False), ((), False)):
        facts = replace(FACTS, users=users)
        assert same_for_present_users(idx.engine, facts, IdentityDirectory(idx.policy, facts)) is same
    assert not same_for_present_users(idx.engine, replace(FACTS, auto_updates=True), idx.engine.directory)
