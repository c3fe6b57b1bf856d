"""Compiled SSH rules in their wire form."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from acl import SSHRule as CompiledRule
from coordinator.tailcfg.codec import encode
from coordinator.tailcfg.ssh_policy import SSHAction, SSHPrincipal, SSHRule


def ssh_policy_json(rules: Sequence[CompiledRule]) -> bytes:
    """The value of `SSHPolicy`; no rules means that nobody may log in."""
    return encode({"rules": [wire_rule(rule) for rule in rules]})


def wire_rule(rule: CompiledRule) -> SSHRule:
    """One rule as clients read it."""
    action = rule.action
    return SSHRule(
        principals=[SSHPrincipal(address) for address in rule.principals],
        ssh_users=dict(rule.ssh_users),
        action=SSHAction(
            accept=action.accept or UNSET,
            hold_and_delegate=action.hold_and_delegate or UNSET,
            allow_agent_forwarding=action.allow_agent_forwarding or UNSET,
            allow_local_port_forwarding=action.allow_local_port_forwarding or UNSET,
            allow_remote_port_forwarding=action.allow_remote_port_forwarding or UNSET,
        ),
        accept_env=rule.accept_env or UNSET,
    )
