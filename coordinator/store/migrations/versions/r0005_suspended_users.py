"""When a user was suspended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Users of before are active."""
    op.add_column("users", sa.Column("suspended_at", sa.String(27)))
