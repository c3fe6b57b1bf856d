"""SSHPolicy: which logins the node's own SSH server admits.

Source: tailscale tailcfg/tailcfg.go (SSHPolicy, SSHRule, SSHAction). A policy without rules refuses
everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType


class RecordingFailure(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "reject_session_with_message": "RejectSessionWithMessage",
        "terminate_session_with_message": "TerminateSessionWithMessage",
    },
):
    """What becomes of a session that cannot be recorded (SSHRecorderFailureAction)."""

    reject_session_with_message: str
    terminate_session_with_message: str


class SSHAction(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "message": "message",
        "reject": "reject",
        "accept": "accept",
        "session_duration": "sessionDuration",
        "allow_agent_forwarding": "allowAgentForwarding",
        "hold_and_delegate": "holdAndDelegate",
        "allow_local_port_forwarding": "allowLocalPortForwarding",
        "allow_remote_port_forwarding": "allowRemotePortForwarding",
        "recorders": "recorders",
        "on_recording_failure": "onRecordingFailure",
    },
):
    """`session_duration` is in nanoseconds."""

    message: str | UnsetType = UNSET
    reject: bool | UnsetType = UNSET
    accept: bool | UnsetType = UNSET
    session_duration: int | UnsetType = UNSET
    allow_agent_forwarding: bool | UnsetType = UNSET
    hold_and_delegate: str | UnsetType = UNSET
    allow_local_port_forwarding: bool | UnsetType = UNSET
    allow_remote_port_forwarding: bool | UnsetType = UNSET
    recorders: Sequence[str] | UnsetType = UNSET
    on_recording_failure: RecordingFailure | UnsetType = UNSET


class SSHPrincipal(msgspec.Struct, frozen=True, rename={"node_ip": "nodeIP"}):
    """A source, by its Tailscale address."""

    node_ip: str


class SSHRule(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "principals": "principals",
        "ssh_users": "sshUsers",
        "action": "action",
        "accept_env": "acceptEnv",
        "rule_expires": "ruleExpires",
    },
):
    """First rule whose principal and user match wins; an empty local user refuses.

    From `rule_expires` on the client leaves the rule out by itself.
    """

    principals: Sequence[SSHPrincipal]
    ssh_users: Mapping[str, str]
    action: SSHAction
    accept_env: Sequence[str] | UnsetType = UNSET
    rule_expires: datetime | UnsetType = UNSET
