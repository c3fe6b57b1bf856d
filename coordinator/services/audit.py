"""The audit log for people: look into it, verify it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from coordinator.audit.entry import Cursor, Head, SealedEntry
from coordinator.audit.query import AuditQuery
from coordinator.audit.verify import Finding, Verifier


class ReadableLog(Protocol):
    """What is needed of `store.audit_log.AuditLog`."""

    async def entries(self, query: AuditQuery) -> list[SealedEntry]:
        """Read entries."""

    def chain(self) -> AsyncGenerator[tuple[Head | None, list[Cursor], list[SealedEntry]], None]:
        """The whole log, page by page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a look at the whole log has shown."""

    entries: int
    head: Head | None
    findings: tuple[Finding, ...]
    wrong: int
    """How many findings there are; `findings` holds the first."""


class AuditService:
    """Reads; nothing here writes."""

    def __init__(self, audit: ReadableLog) -> None:
        self._audit = audit

    async def list(self, query: AuditQuery) -> list[SealedEntry]:
        """The entries a query wants."""
        return await self._audit.entries(query)

    async def verify(self, anchors: Sequence[Cursor] = ()) -> Verification:
        """Compute every hash again and compare with the chain, the head, the sinks and the anchors."""
        verifier: Verifier | None = None
        head: Head | None = None
        async with aclosing(self._audit.chain()) as pages:
            async for head, cursors, entries in pages:
                if verifier is None:
                    verifier = Verifier(head, (*cursors, *anchors))
                verifier.take(entries)
                # Others may have their turn between two pages.
                await asyncio.sleep(0)
        assert verifier is not None
        findings = verifier.finish()
        return Verification(entries=verifier.count, head=head, findings=findings, wrong=verifier.wrong)
