"""Who was connected, so that a restart tells nobody that everybody left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nobody is known to be connected."""
    op.add_column("nodes", sa.Column("online", sa.Boolean(), nullable=False, server_default=sa.false()))
