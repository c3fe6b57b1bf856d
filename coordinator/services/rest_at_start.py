"""Which addresses rest when the server starts: the audit log knows which ephemeral nodes left, and when.

Nothing is stored for it besides, and nothing is to be cleaned up. Where the log keeps entries for a shorter
time than addresses rest (`audit.retention`), the rest is that much shorter after a restart.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Protocol

import structlog

from coordinator.audit.entry import SealedEntry
from coordinator.audit.query import AuditQuery
from coordinator.tailnet.addresses import Address

log = structlog.get_logger(__name__)

PAGE = 1000

Departure = tuple[datetime, tuple[Address, ...]]
"""When a node left, and which addresses it had."""


class DeletionLog(Protocol):
    """What is needed of `store.audit_log.AuditLog`."""

    async def entries(self, query: AuditQuery) -> list[SealedEntry]:
        """Read entries."""


async def resting_at(log_: DeletionLog, now: datetime, rest: timedelta) -> list[Departure]:
    """The departures of ephemeral nodes whose addresses still rest, the oldest first.

    Raises:
        UnavailableError: the database does not answer.
    """
    if not rest:
        return []
    found: list[Departure] = []
    after = 0
    while True:
        query = AuditQuery(since=now - rest, action="node.delete", after=after, limit=PAGE)
        page = await log_.entries(query)
        found += [departure for entry in page if (departure := _departure(entry)) is not None]
        if len(page) < PAGE:
            # Entries of one commit may stand in any order.
            return sorted(found, key=lambda departure: departure[0])
        after = page[-1].id


def _departure(entry: SealedEntry) -> Departure | None:
    """None for nodes that were not ephemeral, and for entries of other releases."""
    try:
        node = json.loads(entry.before)
        if not node.get("ephemeral"):
            return None
        addresses = tuple(ip_address(text) for text in node["addresses"])
        return datetime.fromisoformat(entry.at), addresses
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.debug("audit entry of a deletion not understood", entries=entry.id, error=str(error))
        return None
