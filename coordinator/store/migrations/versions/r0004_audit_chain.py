"""The audit log becomes a chain; entries of before are sealed as they are.

The form of the hash is written out, not taken from `audit.entry`: a migration must not change when that does.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS = (
    "actor_kind",
    "actor_name",
    "source",
    "action",
    "object_kind",
    "object_id",
    "object_name",
    "before",
    "after",
    "reason",
    "request_id",
    "previous",
    "hash",
)
_GENESIS = "0" * 64


def upgrade() -> None:
    """Take the entries out, make the tables anew, put the entries back with their hashes."""
    connection = op.get_bind()
    former = connection.execute(
        sa.text("SELECT at, actor, action, target, details FROM audit ORDER BY id")
    ).all()
    op.drop_index("ix_audit_at", table_name="audit")
    op.drop_table("audit")
    audit = op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _COLUMNS),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_object", "audit", ["object_kind", "object_id"])
    head = _head_and_cursors()
    previous = _GENESIS
    sealed = []
    for number, row in enumerate(former, 1):
        entry = _sealed(number, row, previous)
        previous = entry["hash"]
        sealed.append(entry)
    if sealed:
        op.bulk_insert(audit, sealed)
    ends = {
        "id": 1,
        "last_id": len(sealed),
        "last_hash": previous,
        "first_id": 1,
        "first_previous": _GENESIS,
    }
    op.bulk_insert(head, [ends])
    connection.execute(sa.text("DELETE FROM counters WHERE name = 'audit'"))


def _head_and_cursors() -> sa.Table:
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("last_hash", sa.Text(), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("first_previous", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
    )
    op.create_table(
        "audit_cursors",
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("last_hash", sa.Text(), nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("sink", name="pk_audit_cursors"),
    )
    return head


def _sealed(number: int, row: sa.Row[Any], previous: str) -> dict[str, Any]:
    actor_kind, _, actor_name = row.actor.partition(":")
    object_kind, _, object_id = row.target.partition(":")
    after = json.dumps(json.loads(row.details), separators=(",", ":"), sort_keys=True)
    before, nothing = "{}", ""
    fields = (
        number,
        row.at,
        actor_kind,
        actor_name,
        nothing,
        row.action,
        object_kind,
        object_id,
        nothing,
        before,
        after,
        nothing,
        nothing,
    )
    canonical = json.dumps(fields, separators=(",", ":")).encode("ascii")
    digest = blake2b(
        bytes.fromhex(previous) + canonical, digest_size=32, person=b"coord.audit.v1"
    ).hexdigest()
    return dict(zip(("id", "at", *_COLUMNS), (*fields, previous, digest), strict=True))
