"""Posture attributes that were set on a node."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nodes of before have none."""
    op.add_column("nodes", sa.Column("attributes", sa.Text(), nullable=False, server_default="{}"))
