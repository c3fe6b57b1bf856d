"""Only alerts go where alerts go."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from coordinator.audit.alert_sink import AlertSink
from coordinator.audit.entry import SealedEntry
from coordinator.audit.sinks import SinkError
from tests.support.audit_entries import make_chain


class Kept:
    name = "https:there"

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.broken = False

    async def send(self, entries: Sequence[SealedEntry]) -> None:
        if self.broken:
            raise SinkError("away")
        self.batches.append([entry.action for entry in entries])


async def test_the_rest_counts_as_delivered() -> None:
    behind = Kept()
    sink = AlertSink("wireguard.alert", behind)
    assert sink.name == "wireguard.alert:https:there"
    entries, _ = make_chain(3)
    await sink.send(entries)
    assert behind.batches == []
    mixed = [entries[0], entries[1]._replace(action="wireguard.alert"), entries[2]]
    await sink.send(mixed)
    assert behind.batches == [["wireguard.alert"]]
    behind.broken = True
    with pytest.raises(SinkError):
        await sink.send(mixed)
