"""The policy's own assertions."""

from __future__ import annotations

from typing import Any

import pytest

import acl
from tests.acl.tailnets import FACTS, node, policy

NODES = [
    node(1, 1),
    node(2, 2),
    node(3, "tag:server"),
    node(4, "tag:client", attributes={"node:os": "linux"}),
    node(5, 2),
]
RULES: dict[str, Any] = {
    "groups": {"group:dev": ["alice@example.com", "bob@example.com"]},
    "hosts": {"web": "100.64.0.3", "lan": "10.0.0.0/8", "far": "10.9.9.9"},
    "acls": [
        {
            "action": "accept",
            "src": ["group:dev"],
            "dst": ["tag:server:22,80-90", "10.0.0.0/8:443"],
            "proto": "tcp",
        },
        {"action": "accept", "src": ["alice@"], "dst": ["tag:client:*"]},
        {"action": "accept", "src": ["tag:client"], "dst": ["tag:server:*"], "proto": "icmp"},
        {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:7"]},
    ],
    "ssh": [
        {"action": "check", "src": ["alice@"], "dst": ["tag:server"], "users": ["root"]},
        {"action": "accept", "src": ["group:dev"], "dst": ["tag:server"], "users": ["autogroup:nonroot"]},
        {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["me"]},
    ],
}


def failures(**sections: Any) -> list[str]:
    found = acl.check_policy(policy(**{**RULES, **sections}), FACTS, NODES)
    assert all(p.message == "test(s) failed" and p.span is not None for p in found)
    return [str(p.help) for p in found]


@pytest.mark.parametrize(
    "test",
    [
        {"src": "group:dev", "accept": ["tag:server:22", "web:80", "100.64.0.3:85", "far:443"]},
        {"src": "bob@example.com", "deny": ["tag:server:23", "tag:client:22", "lan-less.example.com@:1"][:2]},
        {"src": "alice@", "accept": ["tag:client:1"], "proto": "udp"},
        {"src": "group:dev", "deny": ["tag:server:22"], "proto": "udp"},
        {"src": "group:dev", "accept": ["tag:server:22"], "proto": "6"},
        {"src": "tag:client", "accept": ["web:0"], "proto": "icmp"},
        {"src": "group:dev", "accept": ["far:443"]},
        {"src": "bob@", "accept": ["bob@:7"], "deny": ["alice@:7"]},
        {"src": "100.64.0.1", "accept": ["tag:server:22"]},
        {"src": "autogroup:tagged", "deny": ["tag:server:22"]},
    ],
)
def test_assertions_that_hold(test: dict[str, Any]) -> None:
    assert failures(tests=[test]) == []


@pytest.mark.parametrize(
    ("test", "detail"),
    [
        ({"src": "group:dev", "accept": ["tag:client:22"]}, "`group:dev` cannot reach `tag:client:22`"),
        ({"src": "alice@", "deny": ["tag:client:22"]}, "`alice@` can reach `tag:client:22`"),
        ({"accept": ["web:80"]}, "no src given"),
        ({"src": "alice@"}, "neither accept nor deny given"),
        ({"src": "ghost@x.y", "accept": ["web:80"]}, "`ghost@x.y` is not a known"),
        ({"src": "*", "accept": ["web:80"]}, "`*` is not a known"),
        ({"src": "autogroup:bogus", "accept": ["web:80"]}, "`autogroup:bogus` is not a known"),
        ({"src": "lan", "accept": ["web:80"]}, "`lan` is not a known"),
        ({"src": "carol@", "accept": ["web:80"]}, "`carol@` has no nodes"),
        ({"src": "alice@", "accept": ["web:22,80"]}, "needs one port"),
        ({"src": "alice@", "accept": ["web:*"]}, "needs one port"),
        ({"src": "alice@", "accept": ["web:-1"]}, "needs one port"),
        ({"src": "alice@", "accept": ["web:99999"]}, "needs one port"),
        ({"src": "alice@", "accept": ["10.0.0.0/8:443"]}, "`10.0.0.0/8` is not a known"),
        ({"src": "alice@", "deny": ["100.64.0.3/32:1"]}, "`100.64.0.3/32` is not a known"),
        ({"src": "alice@", "deny": ["lan:443"]}, "`lan` is not a known"),
        ({"src": "alice@", "deny": ["tag:phantom:1"]}, "`tag:phantom` is not a known"),
        ({"src": "alice@", "deny": ["autogroup:self:1"]}, "`autogroup:self` is not a known"),
        ({"src": "alice@", "deny": ["autogroup:internet:1"]}, "`autogroup:internet` is not a known"),
        ({"src": "alice@", "accept": ["web:80"], "proto": "http"}, 'protocol "http" is not supported'),
    ],
)
def test_assertions_that_fail(test: dict[str, Any], detail: str) -> None:
    (found,) = failures(tests=[test])
    assert found.startswith("tests[0]: ")
    assert detail in found


def test_supposed_posture_attributes() -> None:
    rules = [
        {"action": "accept", "src": ["tag:client"], "dst": ["tag:server:1"], "srcPosture": ["posture:m"]}
    ]
    sections = {"acls": rules, "postures": {"posture:m": ["node:os == 'macos'"]}, "ssh": []}
    test = {"src": "tag:client", "accept": ["web:1"]}
    assert len(failures(tests=[test], **sections)) == 1
    assert failures(tests=[{**test, "srcPostureAttrs": {"node:os": "macos"}}], **sections) == []


@pytest.mark.parametrize(
    "test",
    [
        {
            "src": "alice@",
            "dst": ["tag:server", "tag:server"],
            "accept": ["root", "ubuntu"],
            "check": ["root"],
        },
        {"src": "bob@", "dst": ["web"], "accept": ["ubuntu"], "deny": ["root"]},
        {"src": "bob@example.com", "dst": ["bob@example.com"], "accept": ["me"]},
        {"src": "tag:client", "dst": ["tag:server"], "deny": ["ubuntu", "root"]},
        {"src": "group:dev", "dst": ["100.64.0.3"], "accept": ["x"]},
    ],
)
def test_ssh_assertions_that_hold(test: dict[str, Any]) -> None:
    assert failures(sshTests=[test]) == []


@pytest.mark.parametrize(
    ("test", "detail"),
    [
        ({"src": "bob@", "dst": ["tag:server"], "accept": ["root"]}, "not admitted, expected accept"),
        ({"src": "alice@", "dst": ["tag:server"], "deny": ["root"]}, "admitted, expected deny"),
        ({"src": "alice@", "dst": ["tag:server"], "check": ["ubuntu"]}, "not admitted, expected check"),
        ({"src": "alice@", "dst": ["tag:server"]}, "none of accept, check and deny given"),
        ({"src": "alice@", "dst": ["tag:server"], "accept": [""]}, "empty login name"),
        ({"src": "carol@", "dst": ["tag:server"], "deny": ["x"]}, "src `carol@` names no node"),
        ({"dst": ["tag:server"], "deny": ["x"]}, "src `` names no node"),
        ({"src": "alice@", "dst": ["tag:db"], "deny": ["x"]}, "dst `tag:db` names no node"),
        ({"src": "alice@", "dst": [], "deny": ["x"]}, "no dst given"),
    ],
)
def test_ssh_assertions_that_fail(test: dict[str, Any], detail: str) -> None:
    (found,) = failures(sshTests=[test])
    assert found.startswith("sshTests[0]: ")
    assert detail in found


def test_an_index_checks_a_policy_on_its_own_nodes() -> None:
    idx = acl.PolicyIndex(None, FACTS, NODES)
    assert idx.check() == ()
    candidate = policy(**RULES, tests=[{"src": "alice@", "accept": ["tag:client:1", "web:1"]}])
    assert [str(p.help) for p in idx.check(candidate)] == ["tests[0]: `alice@` cannot reach `web:1`"]
    idx.replace_policy(candidate)
    assert len(idx.check()) == 1


ACCESS = {
    "mgmt": {
        "src": ["alice@example.com"],
        "dst": ["tag:db:22", "10.0.0.0/8:22"],
        "via": ["tag:router"],
        "srcPosture": ["posture:mac"],
    }
}
MAC = {"srcPostureAttrs": {"node:os": "macos"}}


@pytest.mark.parametrize(
    ("test", "failure"),
    [
        (
            {
                "src": "alice@example.com",
                "accept": ["tag:db:22", "10.1.2.3:22"],
                "deny": ["tag:db:23"],
                **MAC,
            },
            "",
        ),
        ({"src": "alice@example.com", "accept": ["tag:db:23"], **MAC}, "cannot reach `tag:db:23`"),
        ({"src": "alice@example.com", "accept": ["tag:db:22"]}, "cannot reach `tag:db:22`"),
        ({"src": "alice@example.com", "deny": ["tag:db:22"], **MAC}, "can reach `tag:db:22`"),
        ({"src": "bob@example.com", "deny": ["tag:db:22"], **MAC}, ""),
        ({"src": "bob@example.com", "accept": ["tag:db:22"]}, "`bob@example.com` may not ask for `mgmt`"),
    ],
)
def test_access_tests_run_with_the_window_open(test: dict[str, Any], failure: str) -> None:
    checked = policy(
        acls=[],
        postures={"posture:mac": ["node:os == 'macos'"]},
        access={"profiles": ACCESS, "tests": [{"profile": "mgmt", **test}]},
    )
    found = acl.check_policy(checked, FACTS, [*NODES, node(6, "tag:db")])
    if not failure:
        assert found == ()
        return
    assert [problem.help for problem in found if failure in str(problem.help)]
    assert str(found[0].help).startswith("access.tests[0]: ")
