"""Use counts of pre-auth keys, and approval of devices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nodes that are in are approved; a key that was used was used at least once."""
    op.add_column(
        "preauth_keys", sa.Column("preapproved", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("preauth_keys", sa.Column("description", sa.Text(), nullable=False, server_default=""))
    op.add_column("preauth_keys", sa.Column("max_uses", sa.BigInteger()))
    op.add_column("preauth_keys", sa.Column("uses", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("preauth_keys", sa.Column("last_used_at", sa.String(27)))
    op.execute(sa.text("UPDATE preauth_keys SET uses = 1 WHERE used"))
    op.add_column("nodes", sa.Column("approval", sa.Text(), nullable=False, server_default="approved"))
