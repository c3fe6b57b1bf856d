"""Several instances: the change log names the rows of each commit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Older commits stay without: whoever would have to follow them reads everything."""
    op.add_column("changes", sa.Column("touched", sa.Text(), nullable=True))
