"""When old entries are given up; what that leaves behind is in the store's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from coordinator.services import audit_retention
from coordinator.services.audit_retention import AuditRetention
from coordinator.tailnet.errors import UnavailableError
from tests.support.builders import FakeClock


class Log:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[timedelta] = []
        self.broken = False

    async def prune(self, now: datetime, retention: timedelta, sinks: Sequence[str]) -> int:
        assert sinks == ["file:x"]
        self.asked.append(retention)
        if self.broken:
            raise UnavailableError("away")
        return 3


async def test_nothing_is_given_up_unless_the_configuration_says_so() -> None:
    log = Log()
    retention = AuditRetention(log, timedelta(), ["file:x"], FakeClock())
    retention.start()
    await asyncio.sleep(0)
    await retention.close()
    assert log.asked == []


async def test_it_looks_again_and_again_also_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_retention, "INTERVAL", 0.01)
    log = Log()
    log.broken = True
    retention = AuditRetention(log, timedelta(days=90), ["file:x"], FakeClock())
    retention.start()
    await asyncio.sleep(0.05)
    log.broken = False
    assert await retention.look() == 3
    await retention.close()
    assert len(log.asked) > 2
    assert set(log.asked) == {timedelta(days=90)}
