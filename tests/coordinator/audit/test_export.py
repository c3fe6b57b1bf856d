"""At least once, in order, through failures and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import structlog

from coordinator.audit import export
from coordinator.audit.entry import Cursor, SealedEntry
from coordinator.audit.export import Exporter
from coordinator.audit.sinks import FileSink, SinkError
from coordinator.store.engine import sqlite_url
from coordinator.store.store import Store
from coordinator.tailnet.state import ChangeSet
from coordinator.telemetry.metrics import METRICS
from tests.support.audit_entries import make_entry


class Double:
    """A sink that remembers, and fails as long as it is told to."""

    def __init__(self, name: str = "double", failing: int = 0) -> None:
        self.name = name
        self.failing = failing
        self.error: Exception = SinkError("away")
        self.took: list[int] = []
        self.tries = 0
        self.backlogs: list[float | None] = []
        """As `/metrics` shows it at each try."""

    async def send(self, entries: Sequence[SealedEntry]) -> None:
        self.tries += 1
        self.backlogs.append(
            METRICS.registry.get_sample_value("coordinator_audit_backlog", {"sink": self.name})
        )
        if self.failing:
            self.failing -= 1
            raise self.error
        self.took += [entry.id for entry in entries]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def fill(store: Store, count: int) -> None:
    for number in range(count):
        await store.commit(ChangeSet(audit=[make_entry(number)]))


@pytest.fixture
async def store(tmp_path: Path):  # type: ignore[no-untyped-def]
    opened = await Store.open(sqlite_url(tmp_path / "db.sqlite"))
    yield opened
    await opened.close()


async def test_old_and_new_entries_arrive_once_and_in_order(store: Store) -> None:
    await fill(store, 3)
    sink = Double()
    exporter = Exporter(store.audit, [sink])
    exporter.start()
    await until(lambda: len(sink.took) == 3)
    await fill(store, 2)
    await until(lambda: len(sink.took) == 5)
    await exporter.close()
    assert sink.took == [1, 2, 3, 4, 5]


async def test_a_long_backlog_goes_in_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BATCH", 2)
    await fill(store, 5)
    sink = Double()
    exporter = Exporter(store.audit, [sink])
    exporter.start()
    await until(lambda: len(sink.took) == 5)
    await exporter.close()
    assert (sink.took, sink.tries) == ([1, 2, 3, 4, 5], 3)


async def test_a_failing_sink_is_tried_again_holds_up_no_other_and_is_seen(store: Store) -> None:
    await fill(store, 2)
    bad, good = Double("bad", failing=3), Double("good")
    exporter = Exporter(store.audit, [bad, good], retry_first=0.05)
    exporter.start()
    await until(lambda: len(good.took) == 2)
    await until(lambda: len(bad.took) == 2)
    assert bad.backlogs == [2, 2, 2, 2], "what is left is seen while the sink is away"
    await until(lambda: METRICS.registry.get_sample_value("coordinator_audit_backlog", {"sink": "bad"}) == 0)
    await exporter.close()
    assert bad.tries == 4
    assert METRICS.registry.get_sample_value("coordinator_audit_export_failures_total", {"sink": "bad"}) == 3


async def test_the_next_start_goes_on_behind_the_cursor(store: Store) -> None:
    await fill(store, 2)
    sink = Double()
    for expected in ([1, 2], [1, 2, 3]):
        exporter = Exporter(store.audit, [sink])
        exporter.start()
        await until(lambda expected=expected: sink.took == expected)
        await exporter.close()
        await fill(store, 1)


async def test_a_batch_whose_cursor_was_not_saved_comes_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store, 2)
    sink = Double()
    save, crashes, saved = store.audit.save_cursor, [1], []

    async def crash_once(cursor):  # type: ignore[no-untyped-def]
        if crashes:
            crashes.pop()
            raise SinkError("crash")
        await save(cursor)
        saved.append(cursor.last_id)

    monkeypatch.setattr(store.audit, "save_cursor", crash_once)
    exporter = Exporter(store.audit, [sink], retry_first=0.01)
    exporter.start()
    await until(lambda: saved == [2])
    await exporter.close()
    assert sink.took == [1, 2, 1, 2]


async def test_what_is_new_at_the_end_still_leaves(store: Store) -> None:
    sink = Double(failing=1)
    exporter = Exporter(store.audit, [sink], retry_first=60)
    exporter.start()
    await fill(store, 1)
    await until(lambda: sink.tries == 1)
    await exporter.close()
    assert sink.took == [1]


async def test_a_stop_does_not_wait_for_a_sink_that_hangs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "LAST_SECONDS", 0.05)
    await fill(store, 1)

    class Hanging(Double):
        async def send(self, entries: Sequence[SealedEntry]) -> None:
            await asyncio.sleep(60)

    exporter = Exporter(store.audit, [Hanging()])
    exporter.start()
    async with asyncio.timeout(5):
        await exporter.close()


async def test_a_broken_sink_does_not_end_the_export(store: Store) -> None:
    await fill(store, 1)
    sink = Double(failing=1)
    sink.error = RuntimeError("bug")
    exporter = Exporter(store.audit, [sink], retry_first=0.01)
    exporter.start()
    await until(lambda: sink.took == [1])
    await exporter.close()


async def test_a_real_file_across_a_rotation(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    exporter = Exporter(store.audit, [FileSink(path)])
    exporter.start()
    await fill(store, 2)
    await until(lambda: path.exists() and len(path.read_text().splitlines()) == 2)
    path.rename(tmp_path / "old")
    await fill(store, 1)
    await until(lambda: path.exists() and len(path.read_text().splitlines()) == 1)
    await exporter.close()


async def test_a_log_that_somebody_cut_or_wrote_anew_is_told(store: Store) -> None:
    await fill(store, 1)
    cut, anew = Double("cut"), Double("anew")
    await store.audit.save_cursor(Cursor("cut", 7, "0" * 64))
    await store.audit.save_cursor(Cursor("anew", 1, "1" * 64))
    await fill(store, 1)
    exporter = Exporter(store.audit, [cut, anew])
    with structlog.testing.capture_logs() as lines:
        exporter.start()
        await until(lambda: len(lines) >= 2 and bool(anew.took))
        await exporter.close()
    assert anew.took == [2]
    assert cut.took == []
    assert {(line["sink"], "audit verify" in str(line)) for line in lines} == {("cut", True), ("anew", True)}
