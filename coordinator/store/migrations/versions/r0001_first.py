"""The first schema.

Written out, not taken from `schema.py`: a migration must not change when the schema does.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.String(27)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False)


def upgrade() -> None:
    """Create every table."""
    _people_and_keys()
    _nodes()
    _records()


def _people_and_keys() -> None:
    op.create_table(
        "users",
        _id(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_identifier", sa.Text()),
        sa.Column("profile_pic_url", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
    local = sa.text("provider_identifier IS NULL")
    op.create_index(
        "uq_users_local_name", "users", ["name"], unique=True, sqlite_where=local, postgresql_where=local
    )
    provided = sa.text("provider_identifier IS NOT NULL")
    op.create_index(
        "uq_users_provider_identifier",
        "users",
        ["provider_identifier"],
        unique=True,
        sqlite_where=provided,
        postgresql_where=provided,
    )
    op.create_table(
        "preauth_keys",
        _id(),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash_scheme", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger()),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("reusable", sa.Boolean(), nullable=False),
        sa.Column("ephemeral", sa.Boolean(), nullable=False),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        sa.Column("expiration", _MOMENT),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_preauth_keys"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_preauth_keys_user_id"),
        sa.UniqueConstraint("prefix", name="uq_preauth_keys_prefix"),
    )


def _nodes() -> None:
    op.create_table(
        "nodes",
        _id(),
        sa.Column("machine_key", sa.Text(), nullable=False),
        sa.Column("node_key", sa.Text(), nullable=False),
        sa.Column("disco_key", sa.Text()),
        sa.Column("network_lock_key", sa.Text()),
        sa.Column("user_id", sa.BigInteger()),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("given_name", sa.Text(), nullable=False),
        sa.Column("given_name_fixed", sa.Boolean(), nullable=False),
        sa.Column("ipv4", sa.Text()),
        sa.Column("ipv6", sa.Text()),
        sa.Column("register_method", sa.Text(), nullable=False),
        sa.Column("auth_key_id", sa.BigInteger()),
        sa.Column("ephemeral", sa.Boolean(), nullable=False),
        sa.Column("expiry", _MOMENT),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("approved_routes", sa.Text(), nullable=False),
        sa.Column("hostinfo", sa.Text(), nullable=False),
        sa.Column("endpoints", sa.Text(), nullable=False),
        sa.Column("home_derp", sa.BigInteger(), nullable=False),
        sa.Column("cap_version", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_nodes"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_nodes_user_id"),
        sa.UniqueConstraint("node_key", name="uq_nodes_node_key"),
        sa.UniqueConstraint("given_name", name="uq_nodes_given_name"),
        sa.UniqueConstraint("ipv4", name="uq_nodes_ipv4"),
        sa.UniqueConstraint("ipv6", name="uq_nodes_ipv6"),
    )
    op.create_index("ix_nodes_machine_key", "nodes", ["machine_key"])


def _records() -> None:
    op.create_table(
        "policies",
        _id(),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_policies"),
    )
    op.create_table(
        "audit",
        _id(),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    op.create_table(
        "changes",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_changes"),
    )
