"""Audit entries to work with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from coordinator.audit.entry import GENESIS, Head, SealedEntry, seal
from coordinator.tailnet.actors import Actor, Origin
from coordinator.tailnet.state import AuditEntry
from tests.support.builders import NOW

ALICE = Actor(kind="user", name="alice")


def make_entry(number: int = 1, **fields: Any) -> AuditEntry:
    """What a command records."""
    defaults: dict[str, Any] = {
        "at": NOW + timedelta(seconds=number),
        "actor": ALICE,
        "action": "node.rename",
        "object_kind": "node",
        "object_id": str(number),
        "object_name": f"host{number}",
        "before": {"given_name": f"old{number}"},
        "after": {"given_name": f"host{number}"},
        "reason": "tidying up",
        "origin": Origin(source="192.0.2.1", request_id=f"r{number}", reason="tidying up"),
    }
    return AuditEntry(**defaults | fields)


def make_chain(count: int) -> tuple[list[SealedEntry], Head]:
    """A log of so many entries, and its head."""
    chain = list(seal((make_entry(number) for number in range(1, count + 1)), 0, GENESIS))
    return chain, Head(chain[-1].id, chain[-1].hash) if chain else Head()
