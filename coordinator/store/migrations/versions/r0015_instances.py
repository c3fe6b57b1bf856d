"""Several instances: who they are, what they tell each other, and which rows each commit touched."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Older commits stay without names of rows: whoever would have to follow them reads everything."""
    op.add_column("changes", sa.Column("touched", sa.Text(), nullable=True))
    op.create_table(
        "instances",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("server_url", sa.Text(), nullable=False),
        sa.Column("noise_key", sa.Text(), nullable=False),
        sa.Column("relay", sa.Text(), nullable=True),
        sa.Column("started_at", sa.String(27), nullable=False),
        sa.Column("beats", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
    )
    shared = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "live_nodes",
        sa.Column("node_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("connected", sa.Boolean(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name="pk_live_nodes"),
        prefixes=["UNLOGGED"] if shared else [],
    )
    op.create_table(
        "waiting",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("began", sa.String(27), nullable=False),
        sa.Column("decision", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_waiting"),
        prefixes=["UNLOGGED"] if shared else [],
    )
