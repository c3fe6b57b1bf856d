"""The tables, for both databases.

Ids are given by the caller and never reused, so no column counts by itself. Times are stored as UTC text
(sortable, microseconds), addresses and lists as text: both databases then hold the same.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
)
from sqlalchemy.engine import Dialect

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)


class Moment(TypeDecorator[datetime]):
    """An aware time as `2026-01-02T03:04:05.000006Z`, the same text in both databases."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Aware times only: a naive one is a bug."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone must not reach the store")
        # Not strftime: it writes a year before 1000 with fewer than four digits, which cannot be read back.
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Back to an aware time."""
        return None if value is None else datetime.fromisoformat(value)


users = Table(
    "users",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("provider_identifier", Text),
    Column("profile_pic_url", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("suspended_at", Moment),
    Column("offboarded_at", Moment),
    Column("groups", Text, nullable=False, server_default="[]"),
)
# A local user's name is unique; users of identity providers are told apart by their identity.
Index(
    "uq_users_local_name",
    users.c.name,
    unique=True,
    sqlite_where=users.c.provider_identifier.is_(None),
    postgresql_where=users.c.provider_identifier.is_(None),
)
Index(
    "uq_users_provider_identifier",
    users.c.provider_identifier,
    unique=True,
    sqlite_where=users.c.provider_identifier.is_not(None),
    postgresql_where=users.c.provider_identifier.is_not(None),
)

identities = Table(
    "identities",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False, index=True),
    Column("provider", Text, nullable=False),
    Column("groups", Text, nullable=False),
    Column("refresh_token", Text, nullable=False),
    Column("refreshed_at", Moment),
    Column("linked_at", Moment, nullable=False),
)
"""Who is whom at identity providers; refresh tokens are sealed."""

preauth_keys = Table(
    "preauth_keys",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("prefix", Text, nullable=False, unique=True),
    Column("hash", LargeBinary, nullable=False),
    Column("hash_scheme", Text, nullable=False),
    Column("user_id", BigInteger, ForeignKey("users.id")),
    Column("tags", Text, nullable=False),
    Column("reusable", Boolean, nullable=False),
    Column("ephemeral", Boolean, nullable=False),
    Column("used", Boolean, nullable=False),
    Column("revoked", Boolean, nullable=False),
    Column("preapproved", Boolean, nullable=False, server_default=false()),
    Column("description", Text, nullable=False, server_default=""),
    Column("max_uses", BigInteger),
    Column("uses", BigInteger, nullable=False, server_default="0"),
    Column("last_used_at", Moment),
    Column("expiration", Moment),
    Column("created_at", Moment, nullable=False),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("machine_key", Text, nullable=False, index=True),
    Column("node_key", Text, nullable=False, unique=True),
    Column("disco_key", Text),
    Column("network_lock_key", Text),
    Column("user_id", BigInteger, ForeignKey("users.id")),
    Column("tags", Text, nullable=False),
    Column("hostname", Text, nullable=False),
    Column("given_name", Text, nullable=False, unique=True),
    Column("given_name_fixed", Boolean, nullable=False),
    Column("ipv4", Text, unique=True),
    Column("ipv6", Text, unique=True),
    Column("register_method", Text, nullable=False),
    Column("auth_key_id", BigInteger),
    Column("ephemeral", Boolean, nullable=False),
    Column("approval", Text, nullable=False, server_default="approved"),
    Column("expiry", Moment),
    Column("created_at", Moment, nullable=False),
    Column("key_since", Moment),
    Column("rotation", Text),
    Column("approved_routes", Text, nullable=False),
    Column("attributes", Text, nullable=False, server_default="{}"),
    Column("hostinfo", Text, nullable=False),
    Column("endpoints", Text, nullable=False),
    Column("home_derp", BigInteger, nullable=False),
    Column("cap_version", BigInteger, nullable=False),
    Column("last_seen", Moment),
    Column("online", Boolean, nullable=False, server_default=false()),
)

policies = Table(
    "policies",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("author", Text, nullable=False),
    Column("note", Text, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    # As text, since the hash covers the very characters.
    Column("at", String(27), nullable=False, index=True),
    Column("actor_kind", Text, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object_kind", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("object_name", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("ix_audit_object", "object_kind", "object_id"),
)
"""The columns are those of `audit.entry.SealedEntry`, in its order."""

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("last_id", BigInteger, nullable=False),
    Column("last_hash", Text, nullable=False),
    Column("first_id", BigInteger, nullable=False),
    Column("first_previous", Text, nullable=False),
)
"""One row, which whoever appends to the log holds locked: two servers must not continue the same entry."""

audit_cursors = Table(
    "audit_cursors",
    metadata,
    Column("sink", Text, primary_key=True),
    Column("last_id", BigInteger, nullable=False),
    Column("last_hash", Text, nullable=False),
    Column("at", Moment, nullable=False),
)
"""How far each sink has got."""

access_requests = Table(
    "access_requests",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
)
"""Requests for just-in-time access, as documents: they are always loaded whole."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("prefix", Text, nullable=False, unique=True),
    Column("hash", LargeBinary, nullable=False),
    Column("user_id", BigInteger),
    Column("expiration", Moment),
    Column("created_at", Moment, nullable=False),
    Column("last_seen", Moment),
)

wireguard_records = Table(
    "wireguard_records",
    metadata,
    Column("id", Text, primary_key=True),
    Column("document", Text, nullable=False),
)
"""Gateways, peers and tokens of plain WireGuard, as documents under `kind:id`, always loaded whole."""

declared_profiles = Table(
    "declared_profiles",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("declared_by", Text, nullable=False),
    Column("since", Moment, nullable=False),
)
"""Access profiles that `wireguard apply` declared beside the policy; the name is the id."""

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Values are decimal text: an IPv6 offset may exceed 64 bits."""

changes = Table(
    "changes",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("summary", Text, nullable=False),
    Column("touched", Text, nullable=True),
)
"""One row a commit, `seq` without gaps: what another instance reads to follow. `touched` is JSON, the ids of
rows by table; null: not recorded."""

instances = Table(
    "instances",
    metadata,
    Column("id", Text, primary_key=True),
    Column("server_url", Text, nullable=False),
    Column("noise_key", Text, nullable=False),
    Column("relay", Text, nullable=True),
    Column("started_at", Moment, nullable=False),
    Column("beats", BigInteger, nullable=False),
)
"""The servers at work on this database. `noise_key` is the public half; `relay` is JSON, a DERP region;
`beats` counts signs of life."""

live_nodes = Table(
    "live_nodes",
    metadata,
    Column("node_id", BigInteger, primary_key=True, autoincrement=False),
    Column("instance", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("connected", Boolean, nullable=False),
    Column("facts", Text, nullable=False),
)
"""What instances tell each other about connected nodes: the newest of each node; unlogged on PostgreSQL.
`version` counts what an instance has written; `connected`: it holds the map stream."""

waiting = Table(
    "waiting",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("began", Moment, nullable=False),
    Column("decision", Boolean, nullable=True),
)
"""Machines and SSH sessions that wait for a person, as instances tell each other; unlogged on PostgreSQL.
`body` is JSON; `decision` null: nobody has decided."""
