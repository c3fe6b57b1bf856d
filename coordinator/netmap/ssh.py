"""Compiled SSH rules in their wire form."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from acl import SSHAction as CompiledAction
from acl import SSHRule as CompiledRule
from coordinator.tailcfg.codec import encode
from coordinator.tailcfg.ssh_policy import RecordingFailure, SSHAction, SSHPrincipal, SSHRule

ACTION_PATH = "/machine/ssh/action/"
"""Below it the destination's client asks what to do with a session in check mode."""

HOLD_AND_DELEGATE = (
    f"https://unused{ACTION_PATH}from/$SRC_NODE_ID/to/$DST_NODE_ID?ssh_user=$SSH_USER&local_user=$LOCAL_USER"
)
"""The client replaces the variables; their `$` must reach it unescaped. The host is not looked at."""


def ssh_policy_json(rules: Sequence[CompiledRule]) -> bytes:
    """The value of `SSHPolicy`; no rules means that nobody may log in."""
    return encode({"rules": [wire_rule(rule) for rule in rules]})


def wire_rule(rule: CompiledRule) -> SSHRule:
    """One rule as clients read it."""
    return SSHRule(
        principals=[SSHPrincipal(address) for address in rule.principals],
        ssh_users=dict(rule.ssh_users),
        action=wire_action(rule.action),
        accept_env=rule.accept_env or UNSET,
        rule_expires=rule.expires or UNSET,
    )


def wire_action(action: CompiledAction) -> SSHAction:
    """What the client does with a matching session: let it in, or ask the server first."""
    if action.kind == "check":
        return SSHAction(hold_and_delegate=HOLD_AND_DELEGATE)
    return accept_action(action)


def accept_action(action: CompiledAction) -> SSHAction:
    """The session is let in, whatever had to be asked before."""
    failure: RecordingFailure | UnsetType = UNSET
    if action.recorders and action.enforce_recorder:
        failure = RecordingFailure(
            reject_session_with_message="this session must be recorded, and no recorder can be reached\n",
            terminate_session_with_message="this session must be recorded, and its recorder is gone\n",
        )
    return SSHAction(
        accept=True,
        allow_agent_forwarding=True,
        allow_local_port_forwarding=True,
        allow_remote_port_forwarding=True,
        recorders=action.recorders or UNSET,
        on_recording_failure=failure,
    )
