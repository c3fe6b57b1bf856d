"""Identities at providers, and what they say of users."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Users of before are in no group; their identity, if they have one, is linked at its next login."""
    op.add_column("users", sa.Column("offboarded_at", sa.String(27)))
    op.add_column("users", sa.Column("groups", sa.Text(), nullable=False, server_default="[]"))
    op.create_table(
        "identities",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("refresh_token", sa.Text(), nullable=False),
        sa.Column("refreshed_at", sa.String(27)),
        sa.Column("linked_at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identities"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_identities_user_id"),
    )
    op.create_index("ix_identities_user_id", "identities", ["user_id"])
