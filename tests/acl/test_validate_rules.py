"""Checks of ACLs and grants, with the official service's messages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acl.tailnets import problems

SELF = "autogroup:self can only be used with users, groups, or supported autogroups"


def acl_problems(**rule: Any) -> list[str]:
    return problems(acls=[{"action": "accept", "src": ["*"], "dst": ["*:*"], **rule}])


def grant_problems(**rule: Any) -> list[str]:
    return problems(grants=[{"src": ["*"], "dst": ["*"], **rule}])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"action": "drop"}, 'action="drop" is not supported'),
        ({"action": None}, 'action="" is not supported'),
        ({"dst": ["tag:server"]}, 'dst="tag:server": port range "server": invalid first integer'),
        ({"dst": ["autogroup:self"]}, 'dst="autogroup:self": port range "self": invalid first integer'),
        ({"dst": ["tag:server:ssh"]}, 'dst="tag:server:ssh": port range "ssh": invalid first integer'),
        ({"dst": ["autogroup:self:*"], "src": ["tag:client"]}, SELF),
        ({"dst": ["autogroup:self:*"], "src": ["10.0.0.1"]}, SELF),
        ({"proto": "*"}, 'protocol "*" is not supported'),
        ({"proto": "icmp", "dst": ["*:22"]}, 'dst="*:22": protocol 1 has no ports, use "*"'),
        ({"srcPosture": ["posture:x"]}, 'posture not found: "posture:x"'),
    ],
)
def test_acl_messages(rule: dict[str, Any], message: str) -> None:
    assert acl_problems(**rule) == [message]


def test_acls_that_are_right() -> None:
    assert acl_problems(dst=["autogroup:self:*"], src=["*"]) == []
    assert (
        acl_problems(dst=["autogroup:self:22"], src=["autogroup:admin", "group:g", "user:*@example.com"])
        == []
    )
    assert acl_problems(proto="6", dst=["[fd7a::1]:22", "tag:server:22,80-90"]) == []
    assert acl_problems(src=[], dst=[]) == []


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "ip and app can not both be empty"),
        ({"ip": [], "app": {}}, "ip and app can not both be empty"),
        ({"ip": ["0"]}, "port range \"0\": first port must be >0, or use '*' for wildcard"),
        ({"ip": ["icmp"]}, 'port range "icmp": invalid first integer'),
        ({"app": {"https://x.y/cap": []}}, "capability name must have the form {domain}/{path}"),
        ({"app": {"noslash": []}}, "capability name must have the form {domain}/{path}"),
        (
            {"app": {"tailscale.com/cap/ingress": []}},
            "capability name must not be in the tailscale.com domain",
        ),
        (
            {"app": {"e.com/a": []}, "dst": ["autogroup:internet"]},
            "cannot use app grants with autogroup:internet",
        ),
        (
            {"ip": ["*"], "dst": ["0.0.0.0/0"]},
            'dst "0.0.0.0/0": to allow all IP addresses, use "*" or "autogroup:internet"',
        ),
        ({"ip": ["*"], "dst": ["10.0.0.0/8"], "via": ["a@b.c"]}, "via can only be a tag"),
        ({"ip": ["*"], "dst": ["10.0.0.0/8"], "via": ["tag:nope"]}, 'tag "tag:nope" not found'),
        ({"ip": ["*"], "dst": ["autogroup:self"]}, SELF),
    ],
)
def test_grant_messages(rule: dict[str, Any], message: str) -> None:
    assert grant_problems(**rule) == [message]


def test_grants_that_are_right() -> None:
    for name in ("drive", "relay", "webui", "kubernetes"):
        assert grant_problems(app={f"tailscale.com/cap/{name}": [{}]}) == []
    assert grant_problems(ip=["*"], dst=["autogroup:self"], src=["autogroup:member"]) == []
    assert grant_problems(app={"example.com/a/b/c": []}) == []
