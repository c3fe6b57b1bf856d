"""Preshared keys of plain WireGuard peers are sealed.

Nothing changes in the schema: what is there is sealed by `store.plain_preshared_keys`, which has the key. The
revision keeps older releases away, which would take a sealed preshared key for none.
"""

from __future__ import annotations

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing to do here."""
