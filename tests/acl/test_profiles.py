"""Access profiles: what is wrong with one, and what a window opens."""

from __future__ import annotations

from typing import Any

import pytest

from acl import PolicyError, parse_policy
from acl.profiles import (
    approvals_needed,
    default_seconds,
    host_scoped,
    max_seconds,
    profile_login,
    profile_rules,
)
from tests.acl.tailnets import policy, problems

BASE: dict[str, Any] = {
    "src": ["alice@example.com"],
    "dst": ["tag:server:22"],
    "defaultDuration": "90m",
    "maxDuration": "4h",
    "approvers": ["bob@example.com"],
}


def section(**changes: Any) -> dict[str, Any]:
    return {"access": {"profiles": {"mgmt": {**BASE, **changes}}}}


def test_numbers_of_a_profile() -> None:
    (profile,) = policy(**section()).access_profiles
    assert (default_seconds(profile), max_seconds(profile), approvals_needed(profile)) == (5400, 14400, 1)
    assert host_scoped(profile)
    (bare,) = policy(access={"profiles": {"x": {"src": ["*"], "dst": ["10.0.0.0/24:*"]}}}).access_profiles
    assert (default_seconds(bare), max_seconds(bare), approvals_needed(bare)) == (3600, 3600, 0)
    assert not host_scoped(bare)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dst": ["tag:servr:22"]}, 'tag not found: "tag:servr"'),
        ({"dst": []}, "dst is empty"),
        ({"dst": ["autogroup:self:22"]}, "a window cannot open autogroup:self"),
        ({"dst": ["svc:files:22"]}, "a window cannot open svc:files"),
        ({"src": []}, "src is empty"),
        ({"defaultDuration": "5h"}, "defaultDuration is longer than maxDuration"),
        ({"maxDuration": "soon"}, "maxDuration: time: invalid duration"),
        ({"maxDuration": "99d"}, "at most 30d"),
        ({"approvals": 0}, "approvals: must be 1 or more"),
        ({"approvers": [], "approvals": 1}, "nobody could approve"),
        ({"approvals": "two"}, "expected a whole number"),
        ({"approvers": ["tag:server"]}, "a tag is nobody who could decide"),
        ({"maxActive": 0}, "maxActive: must be 1 or more"),
        ({"reason": "must"}, "write required or optional"),
        ({"ticket": "["}, "ticket: "),
        ({"ticket": "^(a+)+$"}, "cannot be repeated"),
        ({"ticket": "((a+))+$"}, "cannot be repeated"),
        ({"ticket": "(a|a)*$"}, "cannot be repeated"),
        ({"hours": "always"}, "hours: name the time zone"),
        ({"srcPosture": ["posture:none"]}, "posture not found"),
        ({"via": ["tag:none"]}, 'tag "tag:none" not found'),
        ({"maxActiv": 1}, "unknown key `maxActiv`"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], words: str) -> None:
    assert any(words in message for message in problems(**section(**changes)))


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ({"src": "alice@"}, "say which profile is open"),
        ({"profile": "mgmnt"}, "access profile `mgmnt` not found"),
    ],
)
def test_tests_name_a_profile(test: dict[str, Any], words: str) -> None:
    access = {**section()["access"], "tests": [test]}
    assert any(words in message for message in problems(access=access))


def test_mistakes_have_a_place() -> None:
    with pytest.raises(PolicyError, match="line 2, column 10"):
        parse_policy('{"access": {"profiles": {"x": {"src": ["*"],\n "dst": ["tag:none:22"]}}}}')


def test_routers_carry_networks_and_machines_are_reached_directly() -> None:
    dst = ["tag:server:22", "10.0.0.0/24:22,443", "100.64.0.3:443", "inside:1", "outside:2"]
    hosts = {"inside": "100.64.0.9", "outside": "192.168.0.1"}
    (profile,) = policy(hosts=hosts, **section(dst=dst, via=["tag:router"])).access_profiles
    (acl,), grants = profile_rules(profile, profile.src, hosts)
    assert [word.text for word in acl.dst] == ["tag:server:22", "100.64.0.3:443", "inside:1"]
    assert [(grant.dst[0].text, [word.text for word in grant.ip]) for grant in grants] == [
        ("10.0.0.0/24", ["22", "443"]),
        ("outside", ["2"]),
    ]
    (network,) = policy(**section(dst=["10.0.0.0/24:22"], via=["tag:router"])).access_profiles
    assert profile_rules(network, network.src, {})[0] == ()


def test_logins_open_only_where_the_profile_says_so() -> None:
    (plain,) = policy(**section()).access_profiles
    (with_ssh,) = policy(**section(ssh={"users": ["root"]})).access_profiles
    assert profile_login(plain, plain.src) is None
    entry = profile_login(with_ssh, with_ssh.src)
    assert entry is not None
    assert [word.text for word in (*entry.src, *entry.dst, *(entry.users or ()))] == [
        "alice@example.com", "tag:server", "root"
    ]  # fmt: skip


def test_tags_of_minted_machines_are_read() -> None:
    (profile,) = policy(**section(mint={"tags": ["tag:server"]})).access_profiles
    assert [word.text for word in profile.mint or ()] == ["tag:server"]
    (profile,) = policy(**section()).access_profiles
    assert profile.mint is None


@pytest.mark.parametrize(
    ("mint", "words"),
    [
        ({"tags": []}, "a minted machine belongs to its tags"),
        ({}, "a minted machine belongs to its tags"),
        ({"tags": ["group:ops"]}, "is no tag"),
        ({"tags": ["tag:none"]}, 'tag not found: "tag:none"'),
        ({"tag": ["tag:server"]}, "tag"),
        (["tag:server"], "mint"),
    ],
)
def test_mistakes_in_mint(mint: Any, words: str) -> None:
    assert any(words in message for message in problems(**section(mint=mint)))
