"""Since when a node has its key, and whether a new one is awaited."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keys of before count from their node's registration: nothing recorded says when they were replaced."""
    op.add_column("nodes", sa.Column("key_since", sa.String(27)))
    op.add_column("nodes", sa.Column("rotation", sa.Text()))
