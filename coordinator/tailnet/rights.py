"""What each role may do with the administration of the tailnet.

A role says nothing about packets: who reaches whom is the policy's matter,
which knows the roles as autogroups. The rights follow the official service's roles, as far as there is
something here to have a right to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from coordinator.tailnet.users import validate_role

Right = Literal[
    "nodes:read",
    "nodes:write",
    "users:read",
    "users:write",
    "policy:read",
    "policy:write",
    "keys:read",
    "keys:write",
    "access:read",
    "access:write",
    "audit:read",
    "inventory:read",
    "wireguard:read",
    "wireguard:write",
]
"""`<noun>:read` to look, `<noun>:write` to change. `keys` are those that let machines or programs in,
`access` is access for a limited time, `audit` the record of who did what, `inventory` the list of all keys
with what is known of them elsewhere, `wireguard` gateways and peers of plain WireGuard."""

ALL: frozenset[Right] = frozenset(get_args(Right))
READING: frozenset[Right] = frozenset(right for right in ALL if right.endswith(":read"))
OWNERS_ALONE = frozenset({"owner"})
"""Roles that only an owner may give or take."""

ROLE_RIGHTS: Mapping[str, frozenset[Right]] = {
    "owner": ALL,
    "admin": ALL,
    "network-admin": READING | {"policy:write", "access:write", "wireguard:write"},
    "it-admin": READING | {"nodes:write", "users:write", "keys:write"},
    "billing-admin": frozenset({"users:read", "nodes:read"}),
    "auditor": READING,
    "member": frozenset(),
}
"""A member has no right over what is not theirs; their own nodes are a matter of ownership, not of rights."""


def rights_of(role: str) -> frozenset[Right]:
    """All rights of a role.

    Raises:
        InvalidError: there is no such role.
    """
    return ROLE_RIGHTS[validate_role(role)]


def may(role: str, right: Right) -> bool:
    """Whether a role has a right."""
    return right in rights_of(role)


def may_give(giver: str, role: str) -> bool:
    """Whether somebody of one role may make a user another, or take it: nobody makes their own superiors."""
    if not may(giver, "users:write"):
        return False
    if role in OWNERS_ALONE:
        return giver in OWNERS_ALONE
    return rights_of(role) <= rights_of(giver)
