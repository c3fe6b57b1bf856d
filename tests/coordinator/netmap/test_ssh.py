"""SSH rules in their wire form."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from acl import SSHAction, SSHRule
from coordinator.netmap.ssh import ssh_policy_json, wire_action
from coordinator.tailcfg.codec import encode


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


def test_a_rule_of_an_open_window_says_when_it_ends() -> None:
    until = datetime(2026, 7, 15, 13, 0, tzinfo=UTC)
    always, ends = json.loads(ssh_policy_json((rule("accept"), replace(rule("accept"), expires=until))))[
        "rules"
    ]
    assert "ruleExpires" not in always
    assert ends["ruleExpires"] == "2026-07-15T13:00:00Z"


def test_check_mode_sends_the_client_to_the_server() -> None:
    """Pitfall: with the variables percent-encoded the client substitutes nothing."""
    (told,) = json.loads(ssh_policy_json((rule("check"),)))["rules"]
    assert told["action"] == {
        "holdAndDelegate": "https://unused/machine/ssh/action/from/$SRC_NODE_ID/to/$DST_NODE_ID"
        "?ssh_user=$SSH_USER&local_user=$LOCAL_USER"
    }


@pytest.mark.parametrize("enforced", [True, False])
def test_recorders(enforced: bool) -> None:
    action = SSHAction(kind="accept", recorders=("100.64.0.9:80",), enforce_recorder=enforced)
    told = json.loads(encode(wire_action(action)))
    assert told["recorders"] == ["100.64.0.9:80"]
    assert ("onRecordingFailure" in told) is enforced
    if enforced:
        assert set(told["onRecordingFailure"]) == {
            "RejectSessionWithMessage", "TerminateSessionWithMessage"
        }  # fmt: skip
