"""What the store hands over at start, and what it is asked to make durable.

`TailnetState` is everything the tailnet knows; `ChangeSet` is the difference one transaction writes. Both are
plain values: the store turns them into rows, the services make and consume them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.actors import NOWHERE, Actor, Origin
from coordinator.tailnet.api_keys import ApiKey
from coordinator.tailnet.declared_profiles import DeclaredProfile
from coordinator.tailnet.identities import LinkedIdentity
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.preauth_keys import PreAuthKey
from coordinator.tailnet.users import User, UserID
from coordinator.wireguard.model import Record as WireGuardRecord

WIREGUARD_COUNTERS = ("wireguard_gateways", "wireguard_peers", "wireguard_tokens")
ID_COUNTERS = ("users", "nodes", "preauth_keys", "policies", "access", "api_keys", *WIREGUARD_COUNTERS)
COUNTERS = (*ID_COUNTERS, "ipv4_offset", "ipv6_offset")
"""Names of the persistent counters. Ids are never given twice, not even after a deletion;
`ipv4_offset`/`ipv6_offset` remember the last address given by sequential allocation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPolicy:
    """One version of the policy in database mode. The highest id is in force."""

    id: int
    text: str
    created_at: datetime
    author: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to what, when, from where and why; its place in the log is given by the store.

    `before` and `after` hold what changed, JSON-able and without secrets; both are empty where nothing did,
    as in a refusal.
    """

    at: datetime
    actor: Actor
    action: str
    """`noun.verb`; a refusal ends in `.refused`."""
    object_kind: str
    object_id: str
    object_name: str = ""
    before: Mapping[str, Any] = field(default_factory=dict, hash=False)
    after: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reason: str = ""
    origin: Origin = NOWHERE

    @property
    def target(self) -> str:
        """Kind and id of the object, such as `node:7`."""
        return f"{self.object_kind}:{self.object_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TailnetState:
    """Everything durable (and the last written volatile facts), as loaded at start.

    Nodes load with `online` False. `seq` is the number of the newest commit; None for a state nobody stored.
    """

    seq: int | None = field(default=None, compare=False)

    users: Mapping[UserID, User] = field(default_factory=dict)
    nodes: Mapping[NodeID, Node] = field(default_factory=dict)
    preauth_keys: Mapping[int, PreAuthKey] = field(default_factory=dict)
    policy: StoredPolicy | None = None
    access: Mapping[int, AccessRequest] = field(default_factory=dict)
    api_keys: Mapping[int, ApiKey] = field(default_factory=dict)
    identities: Mapping[str, LinkedIdentity] = field(default_factory=dict)
    wireguard: Mapping[str, WireGuardRecord] = field(default_factory=dict)
    declared: Mapping[str, DeclaredProfile] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class ChangeSet:
    """The durable effect of one or more commands, applied in one transaction:

    deletes first, then puts (insert or replace by id).
    """

    put_users: dict[UserID, User] = field(default_factory=dict)
    delete_users: set[UserID] = field(default_factory=set)
    put_nodes: dict[NodeID, Node] = field(default_factory=dict)
    delete_nodes: set[NodeID] = field(default_factory=set)
    put_preauth_keys: dict[int, PreAuthKey] = field(default_factory=dict)
    delete_preauth_keys: set[int] = field(default_factory=set)
    put_policies: list[StoredPolicy] = field(default_factory=list)
    put_access: dict[int, AccessRequest] = field(default_factory=dict)
    put_api_keys: dict[int, ApiKey] = field(default_factory=dict)
    delete_api_keys: set[int] = field(default_factory=set)
    put_identities: dict[str, LinkedIdentity] = field(default_factory=dict)
    delete_identities: set[str] = field(default_factory=set)
    put_wireguard: dict[str, WireGuardRecord] = field(default_factory=dict)
    delete_wireguard: set[str] = field(default_factory=set)
    put_declared: dict[str, DeclaredProfile] = field(default_factory=dict)
    delete_declared: set[str] = field(default_factory=set)
    audit: list[AuditEntry] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(
            (
                self.put_users,
                self.delete_users,
                self.put_nodes,
                self.delete_nodes,
                self.put_preauth_keys,
                self.delete_preauth_keys,
                self.put_policies,
                self.put_access,
                self.put_api_keys,
                self.delete_api_keys,
                self.put_identities,
                self.delete_identities,
                self.put_wireguard,
                self.delete_wireguard,
                self.put_declared,
                self.delete_declared,
                self.audit,
                self.counters,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """What other instances have committed, as of the commit `seq`; `changes` None: too much to be told."""

    seq: int
    changes: ChangeSet | None
