"""Access profiles: what is wrong with one, and what a window opens."""

from __future__ import annotations

from typing import Any

import pytest

from acl import OpenWindow, PolicyError, parse_policy, with_windows
from acl.profiles import approvals_needed, default_seconds, host_scoped, max_seconds
from tests.acl.tailnets import index, names, node, policy, problems

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


def test_mistakes_have_a_place() -> None:
    with pytest.raises(PolicyError, match="line 2, column 10"):
        parse_policy('{"access": {"profiles": {"x": {"src": ["*"],\n "dst": ["tag:none:22"]}}}}')


NODES = (node(1, 1), node(2, "tag:server"), node(3, 2))
WINDOW = OpenWindow(profile="mgmt", sources=("100.64.0.1", "fd7a:115c:a1e0::1"))


def test_a_window_opens_exactly_what_the_profile_says() -> None:
    written = policy(acls=[], **section(ssh={"users": ["root"]}))
    assert with_windows(written, ()) is written
    idx = index(written, *NODES)
    assert idx.peers(1) == 0
    changed = idx.replace_policy(with_windows(written, [WINDOW]))
    assert names(changed) == [1, 2]
    assert names(idx.peers(1)) == [2]
    assert idx.peers(3) == 0
    (rule,) = idx.filter_rules(2)
    assert [(port.ip, port.first, port.last) for port in rule.dst_ports][:1] == [("100.64.0.2", 22, 22)]
    (login,) = idx.ssh_rules(2)
    assert dict(login.ssh_users)["root"] == "root"
    assert idx.replace_policy(written) == changed
    assert idx.peers(1) == 0


def test_a_profile_that_is_gone_or_a_policy_that_allows_all_opens_nothing() -> None:
    written = policy(acls=[])
    assert with_windows(written, [WINDOW]) is written
    everything = policy(**section())
    assert with_windows(everything, [WINDOW]) is everything


def test_via_opens_through_that_router_only() -> None:
    written = policy(acls=[], **section(dst=["10.0.0.0/24:22,443"], via=["tag:router"]))
    router = node(4, "tag:router", approved_routes=("10.0.0.0/24",))
    other = node(5, "tag:exit", approved_routes=("10.0.0.0/24",))
    idx = index(with_windows(written, [WINDOW]), *NODES, router, other)
    assert names(idx.peers(1)) == [4]


def test_via_says_nothing_about_machines() -> None:
    """The shape of a profile that names machines and a network behind a gateway."""
    written = policy(
        acls=[], **section(dst=["tag:server:22", "10.0.0.0/24:22", "100.64.0.3:443"], via=["tag:router"])
    )
    router = node(4, "tag:router", approved_routes=("10.0.0.0/24",))
    idx = index(with_windows(written, [WINDOW]), *NODES, router)
    assert names(idx.peers(1)) == [2, 3, 4]
    assert [port.first for rule in idx.filter_rules(2) for port in rule.dst_ports] == [22, 22]
    assert [port.first for rule in idx.filter_rules(3) for port in rule.dst_ports] == [443]


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
