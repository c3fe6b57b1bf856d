"""Compiled SSH rules in their wire form."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from acl import SSHAction as CompiledAction
from acl import SSHRule as CompiledRule
from coordinator.tailcfg.codec import encode
from coordinator.tailcfg.ssh_policy import SSHAction, SSHPrincipal, SSHRule


def ssh_policy_json(rules: Sequence[CompiledRule]) -> bytes:
    """The value of `SSHPolicy`; no rules means that nobody may log in."""
    return encode({"rules": [wire_rule(rule) for rule in rules]})


def wire_rule(rule: CompiledRule) -> SSHRule:
    """One rule as clients read it."""
    return SSHRule(
        principals=[SSHPrincipal(address) for address in rule.principals],
        ssh_users=dict(rule.ssh_users),
        action=_action(rule.action),
        accept_env=rule.accept_env or UNSET,
    )


def _action(action: CompiledAction) -> SSHAction:
    """Check mode needs a page where people prove who they are; until there is one, such a rule refuses."""
    if action.kind == "check":
        return SSHAction(reject=True, message="this server cannot check who you are yet (check mode)\n")
    return SSHAction(
        accept=True,
        allow_agent_forwarding=True,
        allow_local_port_forwarding=True,
        allow_remote_port_forwarding=True,
        recorders=action.recorders or UNSET,
    )
