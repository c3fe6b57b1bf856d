"""From a profile to rules and routes."""

from __future__ import annotations

import pytest

from acl import parse_policy
from coordinator.wireguard.profile_rules import Reach, UnsupportedProfileError, collapsed, profile_reach
from coordinator.wireguard.wire import Rule


def reach(dst: str, more: str = "") -> Reach:
    policy = parse_policy(
        f"""{{
  "hosts": {{"db": "10.1.2.3", "lab": "10.7.0.0/16"}},
  "ipsets": {{"ipset:dc": ["add 10.20.0.0/16", "remove 10.20.5.0/24"]}},
  "tagOwners": {{"tag:web": []}},
  "acls": [],
  "access": {{"profiles": {{"p": {{"src": ["autogroup:member"], "dst": {dst}{more}}}}}}},
}}"""
    )
    (profile,) = policy.access_profiles
    return profile_reach(policy, profile)


def test_hosts_networks_and_ports() -> None:
    found = reach('["db:5432,6000-6010", "10.7.3.0/24:*"]', ', "proto": "tcp"')
    assert found.routes == ("10.1.2.3/32", "10.7.3.0/24")
    assert found.rules == (
        Rule(networks=("10.1.2.3/32",), proto="tcp", ports=((5432, 5432), (6000, 6010))),
        Rule(networks=("10.7.3.0/24",), proto="tcp"),
    )


def test_without_a_protocol_ports_are_tcp_and_udp_and_it_may_be_pinged() -> None:
    assert [(rule.proto, rule.ports) for rule in reach('["db:53"]').rules] == [
        ("tcp", ((53, 53),)),
        ("udp", ((53, 53),)),
        ("icmp", ()),
    ]
    assert reach('["lab:*"]').rules == (Rule(networks=("10.7.0.0/16",)),)


def test_ip_sets_are_what_is_left_of_them() -> None:
    routes = reach('["ipset:dc:*"]').routes
    assert "10.20.5.0/24" not in routes
    assert "10.20.0.0/22" in routes


def test_everything_only_if_the_profile_says_so() -> None:
    assert reach('["*:443"]').routes == ("0.0.0.0/0", "::/0")
    internet = reach('["autogroup:internet:*", "lab:22"]')
    assert internet.routes == ("0.0.0.0/0", "::/0")
    assert "0.0.0.0/0" not in internet.rules[0].networks
    assert "0.0.0.0/0" not in reach('["lab:*"]').routes


def test_machines_are_somebody_elses_to_know() -> None:
    assert reach('["tag:web:443"]') == Reach()


def test_machines_that_are_known() -> None:
    policy = parse_policy(
        '{"tagOwners": {"tag:web": []}, "acls": [], "access": {"profiles": '
        '{"p": {"src": ["autogroup:member"], "dst": ["tag:web:443"]}}}}'
    )
    asked: list[tuple[str, ...]] = []

    def machines(selectors: tuple[str, ...]) -> tuple[str, ...]:
        asked.append(selectors)
        return ("100.64.0.7/32",)

    assert profile_reach(policy, policy.access_profiles[0], machines).routes == ("100.64.0.7/32",)
    assert asked == [("tag:web",)]


def test_a_protocol_gateways_do_not_know() -> None:
    with pytest.raises(UnsupportedProfileError, match="`gre`"):
        reach('["lab:*"]', ', "proto": "gre"')
    assert reach('["lab:*"]', ', "proto": "icmp"').rules == (Rule(networks=("10.7.0.0/16",), proto="icmp"),)


def test_routes_hold_each_other() -> None:
    assert collapsed({"10.0.0.0/8", "10.1.0.0/16", "fd00::/8", "fd00::1/128", "9.9.9.9/32"}) == (
        "9.9.9.9/32",
        "10.0.0.0/8",
        "fd00::/8",
    )
