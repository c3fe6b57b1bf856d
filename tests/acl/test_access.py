"""What a change of policy opens and closes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from acl import NodeFact, PolicyIndex, TailnetFacts, UserFact, parse_policy
from acl.access import access_changes

USERS = [
    UserFact(id=1, login="alice@example.com", name="alice"),
    UserFact(id=2, login="bob@example.com", name="bob"),
]


def node(
    number: int, name: str, user: int | None, tags: tuple[str, ...] = (), routes: tuple[str, ...] = ()
) -> NodeFact:
    return NodeFact(
        id=number,
        index=number,
        name=name,
        user_id=user,
        tags=tags,
        ipv4=IPv4Address(f"100.64.0.{number}"),
        ipv6=IPv6Address(f"fd7a:115c:a1e0::{number}"),
        approved_routes=routes,
        created_order=number,
    )


NODES = [
    node(1, "laptop", 1),
    node(2, "phone", 2),
    node(3, "web", None, ("tag:web",)),
    node(4, "router", None, ("tag:router",), ("10.0.0.0/24",)),
]
TAGS = '"tagOwners": {"tag:web": ["alice@example.com"], "tag:router": []}'
FACTS = TailnetFacts(domain="example.com", users=USERS)


def changes(old: str, new: str, advertised: dict[int, list[str]] | None = None) -> list[str]:
    indexes = [PolicyIndex(parse_policy(f"{{{TAGS}, {text}}}"), FACTS, NODES) for text in (old, new)]
    return [str(change) for change in access_changes(*indexes, NODES, USERS, advertised or {})]


def acl(src: str, dst: str, proto: str = "") -> str:
    more = f', "proto": "{proto}"' if proto else ""
    return f'"acls": [{{"action": "accept", "src": ["{src}"], "dst": ["{dst}"]{more}}}]'


NOTHING = '"acls": []'


def test_the_same_meaning_is_no_change() -> None:
    one = acl("alice@example.com", "tag:web:22,80-90")
    other = '"grants": [{"src": ["alice@example.com"], "dst": ["tag:web"], "ip": ["80-90", "22"]}]'
    assert changes(one, other) == []


def test_ports_open_and_close() -> None:
    assert changes(
        acl("bob@example.com", "tag:web:22", "tcp"), acl("bob@example.com", "tag:web:20-21", "tcp")
    ) == [
        "+ phone -> web: tcp:20-21",
        "- phone -> web: tcp:22",
    ]


def test_a_rule_without_protocol_is_one_line() -> None:
    assert changes(NOTHING, acl("bob@example.com", "tag:web:443")) == ["+ phone -> web: any:443"]


def test_routes_are_behind_their_router() -> None:
    assert changes(NOTHING, acl("alice@example.com", "10.0.0.0/8:53", "udp")) == [
        "+ laptop -> 10.0.0.0/24 behind router: udp:53"
    ]


def test_logins() -> None:
    rule = '{"action": "%s", "src": ["alice@example.com"], "dst": ["tag:web"], "users": ["root"]}'
    ssh = f'"acls": [], "ssh": [{rule}]'
    assert changes(NOTHING, ssh % "accept") == ["+ laptop -> web: ssh as root"]
    assert changes(ssh % "accept", ssh % "check") == [
        "- laptop -> web: ssh as root",
        "+ laptop -> web: ssh as root after a check",
    ]


def test_capabilities() -> None:
    app = '"app": {"example.com/cap/x": [{"a": 1}]}'
    grant = f'"grants": [{{"src": ["bob@example.com"], "dst": ["tag:web"], {app}}}]'
    (shown,) = changes(NOTHING, grant)
    assert shown.startswith("+ phone -> web: app example.com/cap/x")


def test_tags_and_approvals() -> None:
    approvers = '"acls": [], "autoApprovers": {"routes": {"10.0.0.0/8": ["tag:router"]}}'
    assert changes(NOTHING, approvers, {4: ["10.9.0.0/16", "192.168.0.0/24"]}) == [
        "+ router -> the tailnet: route 10.9.0.0/16 approved unasked"
    ]
    one = PolicyIndex(parse_policy('{"tagOwners": {"tag:web": []}, "acls": []}'), FACTS, NODES)
    two = PolicyIndex(
        parse_policy('{"tagOwners": {"tag:web": ["bob@example.com"]}, "acls": []}'), FACTS, NODES
    )
    assert [str(each) for each in access_changes(one, two, NODES, USERS, {})] == [
        "+ bob@example.com -> tag:web: may apply the tag"
    ]


@pytest.mark.parametrize("text", [NOTHING, acl("*", "*:*"), acl("alice@example.com", "*:1-100")])
def test_a_policy_against_itself(text: str) -> None:
    assert changes(text, text) == []


def test_allow_all_against_nothing_names_every_pair() -> None:
    shown = changes(NOTHING, acl("*", "*:*"))
    assert "+ laptop -> phone: any:*" in shown
    assert not any("laptop -> laptop" in line for line in shown)


def test_what_a_plain_peer_reaches_through_its_gateway_alone() -> None:
    facts = TailnetFacts(
        users=USERS,
        peers={"phone": ["10.93.0.2"], "printer": ["10.93.0.3"]},
        peer_profiles={"phone": "db"},
    )
    texts = [
        f"""{{{TAGS}, "acls": [{acls}],
             "access": {{"profiles": {{"db": {{"src": ["bob@"], "dst": ["10.20.0.5:{port}"], "proto": "tcp",
                                              "maxDuration": "1h"}}}}}}}}"""
        for acls, port in (
            ("", 5432),
            (
                """{"action": "accept", "src": ["wg:phone"], "proto": "tcp",
                    "dst": ["10.30.0.0/24:22", "10.0.0.7:80", "tag:web:443", "wg:printer:9100"]}""",
                5433,
            ),
        )
    ]
    old, new = (PolicyIndex(parse_policy(text), facts, NODES) for text in texts)
    found = [str(each) for each in access_changes(old, new, NODES, USERS, {}) if each.source == "wg:phone"]
    assert sorted(found) == [
        "+ wg:phone -> 10.0.0.0/24 behind router: tcp:80",
        "+ wg:phone -> 10.20.0.5/32: tcp:5433",
        "+ wg:phone -> 10.30.0.0/24: tcp:22",
        "+ wg:phone -> web: tcp:443",
        "+ wg:phone -> wg:printer: tcp:9100",
        "- wg:phone -> 10.20.0.5/32: tcp:5432",
    ]
