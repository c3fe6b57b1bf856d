"""The log for people; tampering itself is in the store's tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from coordinator.audit.entry import Cursor, Head, SealedEntry
from coordinator.audit.query import AuditQuery
from coordinator.services.audit import AuditService
from tests.support.audit_entries import make_chain


class Log:
    """A log of two pages."""

    def __init__(self) -> None:
        self.entries_, self.head = make_chain(4)
        self.cursors: list[Cursor] = []

    async def entries(self, query: AuditQuery) -> list[SealedEntry]:
        return self.entries_[: query.limit]

    async def chain(self) -> AsyncGenerator[tuple[Head | None, list[Cursor], list[SealedEntry]], None]:
        yield self.head, self.cursors, self.entries_[:2]
        yield self.head, self.cursors, self.entries_[2:]


async def test_pages_are_one_chain() -> None:
    log = Log()
    service = AuditService(log)
    verification = await service.verify()
    assert (verification.entries, verification.wrong, verification.head) == (4, 0, log.head)
    assert await service.list(AuditQuery(limit=1)) == log.entries_[:1]


async def test_anchors_count_like_cursors() -> None:
    log = Log()
    service = AuditService(log)
    assert (await service.verify([Cursor("anchor 4", 4, log.head.last_hash)])).wrong == 0
    assert (await service.verify([Cursor("anchor 4", 4, "0" * 64)])).wrong == 1
    log.cursors = [Cursor("file", 9, "0" * 64)]
    (finding,) = (await service.verify()).findings
    assert (finding.kind, finding.id) == ("truncated", 9)
