"""Values to rows and back.

What a client says of itself must never keep a batch from being written: others wait for the same commit.
"""

from __future__ import annotations

import json
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import msgspec
from sqlalchemy import Row

from coordinator.audit.entry import storable
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.api_keys import ApiKey
from coordinator.tailnet.declared_profiles import DeclaredProfile
from coordinator.tailnet.identities import LinkedIdentity
from coordinator.tailnet.nodes import Node, Rotation
from coordinator.tailnet.preauth_keys import PreAuthKey
from coordinator.tailnet.state import StoredPolicy
from coordinator.tailnet.users import User
from coordinator.wireguard.model import RECORD_TYPES, kind_of
from coordinator.wireguard.model import Record as WireGuardRecord

_MAX_BIGINT = (1 << 63) - 1
"""The largest number both databases hold."""


def user_row(user: User) -> dict[str, Any]:
    """A user as columns."""
    return {
        "id": user.id,
        "name": user.name,
        "display_name": user.display_name,
        "email": user.email,
        "provider": user.provider,
        "provider_identifier": user.provider_identifier,
        "profile_pic_url": user.profile_pic_url,
        "role": user.role,
        "created_at": user.created_at,
        "suspended_at": user.suspended_at,
        "offboarded_at": user.offboarded_at,
        "groups": _list(user.groups),
    }


def user_from(row: Row[Any]) -> User:
    """A user from its row."""
    return User(**{**row._mapping, "groups": tuple(json.loads(row.groups))})


def identity_row(identity: LinkedIdentity) -> dict[str, Any]:
    """An identity as columns."""
    return {
        "id": identity.id,
        "user_id": identity.user_id,
        "provider": identity.provider,
        "groups": _list(identity.groups),
        "refresh_token": identity.refresh_token,
        "refreshed_at": identity.refreshed_at,
        "linked_at": identity.linked_at,
    }


def identity_from(row: Row[Any]) -> LinkedIdentity:
    """An identity from its row."""
    return LinkedIdentity(**{**row._mapping, "groups": tuple(json.loads(row.groups))})


def preauth_key_row(key: PreAuthKey) -> dict[str, Any]:
    """A pre-auth key as columns."""
    return {
        "id": key.id,
        "prefix": key.prefix,
        "hash": key.hash,
        "hash_scheme": key.hash_scheme,
        "user_id": key.user_id,
        "tags": _list(key.tags),
        "reusable": key.reusable,
        "ephemeral": key.ephemeral,
        "used": key.used,
        "revoked": key.revoked,
        "preapproved": key.preapproved,
        "description": key.description,
        "max_uses": key.max_uses,
        "uses": key.uses,
        "last_used_at": key.last_used_at,
        "expiration": key.expiration,
        "created_at": key.created_at,
    }


def preauth_key_from(row: Row[Any]) -> PreAuthKey:
    """A pre-auth key from its row."""
    columns = dict(row._mapping)
    return PreAuthKey(
        **columns | {"tags": tuple(json.loads(columns["tags"])), "hash": bytes(columns["hash"])}
    )


def volatile_row(node: Node) -> dict[str, Any]:
    """The volatile columns of a node."""
    return {
        "disco_key": node.disco_key,
        "hostinfo": json.dumps(dict(node.hostinfo), separators=(",", ":")),
        "endpoints": _list(node.endpoints),
        "home_derp": _client_number(node.home_derp),
        "cap_version": _client_number(node.cap_version),
        "last_seen": node.last_seen,
        "online": node.online,
    }


def facts_text(node: Node) -> str:
    """The volatile facts of a node as instances tell them each other: JSON of the columns."""
    row = volatile_row(node)
    return json.dumps(row | {"last_seen": row["last_seen"] and row["last_seen"].isoformat()})


def facts_from(text: str) -> dict[str, Any]:
    """Volatile facts by the names of a `Node`'s fields."""
    facts: dict[str, Any] = json.loads(text)
    facts["hostinfo"] = json.loads(facts["hostinfo"])
    facts["endpoints"] = tuple(json.loads(facts["endpoints"]))
    facts["last_seen"] = facts["last_seen"] and datetime.fromisoformat(facts["last_seen"])
    return facts


def node_row(node: Node) -> dict[str, Any]:
    """A node as columns."""
    return {
        "id": node.id,
        "machine_key": node.machine_key,
        "node_key": node.node_key,
        "network_lock_key": node.network_lock_key,
        "user_id": node.user_id,
        "tags": _list(node.tags),
        "hostname": storable(node.hostname),
        "given_name": node.given_name,
        "given_name_fixed": node.given_name_fixed,
        "ipv4": None if node.ipv4 is None else str(node.ipv4),
        "ipv6": None if node.ipv6 is None else str(node.ipv6),
        "register_method": node.register_method,
        "auth_key_id": node.auth_key_id,
        "ephemeral": node.ephemeral,
        "approval": node.approval,
        "expiry": node.expiry,
        "created_at": node.created_at,
        "key_since": node.key_since,
        "rotation": None if node.rotation is None else msgspec.json.encode(node.rotation).decode(),
        "approved_routes": _list(node.approved_routes),
        "attributes": json.dumps(dict(node.attributes), separators=(",", ":")),
        **volatile_row(node),
    }


def node_from(row: Row[Any]) -> Node:
    """A node from its row; `online` is what it was when the server ended."""
    columns = dict(row._mapping)
    for name in ("tags", "approved_routes", "endpoints"):
        columns[name] = tuple(json.loads(columns[name]))
    for name in ("hostinfo", "attributes"):
        columns[name] = json.loads(columns[name])
    if columns["rotation"] is not None:
        columns["rotation"] = msgspec.json.decode(columns["rotation"], type=Rotation)
    columns["ipv4"] = IPv4Address(columns["ipv4"]) if columns["ipv4"] else None
    columns["ipv6"] = IPv6Address(columns["ipv6"]) if columns["ipv6"] else None
    return Node(**columns)


def access_row(request: AccessRequest) -> dict[str, Any]:
    """A request for access as columns."""
    return {"id": request.id, "document": msgspec.json.encode(request).decode()}


def access_from(row: Row[Any]) -> AccessRequest:
    """A request for access from its row."""
    return msgspec.json.decode(row.document, type=AccessRequest)


def api_key_row(key: ApiKey) -> dict[str, Any]:
    """An API key as columns."""
    return {
        "id": key.id,
        "prefix": key.prefix,
        "hash": key.hash,
        "user_id": key.user_id,
        "expiration": key.expiration,
        "created_at": key.created_at,
        "last_seen": key.last_seen,
    }


def api_key_from(row: Row[Any]) -> ApiKey:
    """An API key from its row."""
    columns = dict(row._mapping)
    return ApiKey(**columns | {"hash": bytes(columns["hash"])})


def wireguard_row(record: WireGuardRecord) -> dict[str, Any]:
    """A record of plain WireGuard as columns."""
    return {"id": record.key, "document": msgspec.json.encode(record).decode()}


def wireguard_from(row: Row[Any]) -> WireGuardRecord:
    """A record of plain WireGuard from its row."""
    return msgspec.json.decode(row.document, type=RECORD_TYPES[kind_of(row.id)])


def declared_row(profile: DeclaredProfile) -> dict[str, Any]:
    """A declared profile as columns."""
    return {
        "id": profile.name,
        "body": profile.body,
        "declared_by": profile.declared_by,
        "since": profile.since,
    }


def declared_from(row: Row[Any]) -> DeclaredProfile:
    """A declared profile from its row."""
    return DeclaredProfile(name=row.id, body=row.body, declared_by=row.declared_by, since=row.since)


def policy_row(policy: StoredPolicy) -> dict[str, Any]:
    """A policy version as columns."""
    return {
        "id": policy.id,
        "text": policy.text,
        "created_at": policy.created_at,
        "author": policy.author,
        "note": policy.note,
    }


def policy_from(row: Row[Any]) -> StoredPolicy:
    """A policy version from its row."""
    return StoredPolicy(**row._mapping)


def _client_number(value: int) -> int:
    """A number a client sent, or 0 (not known) for one no column can hold; JSON has no limit of its own."""
    return value if -_MAX_BIGINT <= value <= _MAX_BIGINT else 0


def _list(values: tuple[str, ...]) -> str:
    return json.dumps(list(values))
