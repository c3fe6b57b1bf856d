"""SSH rules in their wire form."""

from __future__ import annotations

import json

from acl import SSHAction, SSHRule
from coordinator.netmap.ssh import ssh_policy_json


def rule(kind: str) -> SSHRule:
    return SSHRule(
        principals=("100.64.0.1",),
        ssh_users=(("root", ""), ("*", "=")),
        action=SSHAction(kind=kind),  # type: ignore[arg-type]
        accept_env=("LANG",),
    )


def test_no_rules_refuse_everybody() -> None:
    assert ssh_policy_json(()) == b'{"rules":[]}'


def test_accept() -> None:
    (told,) = json.loads(ssh_policy_json((rule("accept"),)))["rules"]
    assert told["principals"] == [{"nodeIP": "100.64.0.1"}]
    assert told["sshUsers"] == {"root": "", "*": "="}
    assert told["action"]["accept"] is True
    assert told["acceptEnv"] == ["LANG"]


def test_check_mode_refuses_and_says_why() -> None:
    (told,) = json.loads(ssh_policy_json((rule("check"),)))["rules"]
    assert told["action"]["reject"] is True
    assert "check mode" in told["action"]["message"]
