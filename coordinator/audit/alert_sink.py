"""Alerts alone, out of the whole log, to a place of their own."""

from __future__ import annotations

from collections.abc import Sequence

from coordinator.audit.entry import SealedEntry
from coordinator.audit.sinks import Sink


class AlertSink:
    """Passes on entries of one action; all others count as delivered.

    Args:
        action: Of the entries that matter, such as `wireguard.alert`.
        behind: Where they go. Its cursor is another one than that of the same place for the whole log.
    """

    def __init__(self, action: str, behind: Sink) -> None:
        self.name = f"{action}:{behind.name}"
        self._action = action
        self._behind = behind

    async def send(self, entries: Sequence[SealedEntry]) -> None:
        """Deliver what matters of a batch; SinkError when that failed."""
        chosen = [entry for entry in entries if entry.action == self._action]
        if chosen:
            await self._behind.send(chosen)
