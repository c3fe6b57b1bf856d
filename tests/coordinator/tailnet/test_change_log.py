"""The change log."""

from __future__ import annotations

from coordinator.tailnet import change_log
from coordinator.tailnet.change_log import ChangeLog
from coordinator.tailnet.nodes import NodeID


def test_changes_since_a_seq_add_up() -> None:
    log = ChangeLog()
    log.changed(1, 0b001)
    log.changed(2, 0b010)
    log.changed(3, 0b100)
    assert log.since(0) == 0b111
    assert log.since(1) == 0b110
    assert log.since(3) == 0


def test_an_answer_is_not_remembered_past_the_next_change() -> None:
    log = ChangeLog()
    log.changed(1, 0b1)
    assert log.since(0) == 0b1
    log.changed(2, 0b10)
    assert log.since(0) == 0b11


def test_removals_are_found_by_seq() -> None:
    log = ChangeLog()
    log.removed(5, 0, NodeID(7))
    log.removed(6, 0, NodeID(8))
    assert [removal.node_id for removal in log.removals_since(4)] == [7, 8]
    assert [removal.node_id for removal in log.removals_since(5)] == [8]
    assert log.removals_since(6) == []


def test_a_reader_from_before_the_beginning_is_told_so(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(change_log, "MAX_ENTRIES", 10)
    log = ChangeLog()
    for seq in range(1, 12):
        log.changed(seq, 1 << seq)
        log.removed(seq, seq, NodeID(seq))
    assert log.since(0) is None
    start = 5
    assert log.since(start) == sum(1 << seq for seq in range(start + 1, 12))
    assert all(removal.seq > start for removal in log.removals_since(start))


def test_one_seq_is_never_torn_apart(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(change_log, "MAX_ENTRIES", 4)
    log = ChangeLog()
    for bit in range(5):
        log.changed(7, 1 << bit)
    assert log.since(7) == 0
    assert log.since(6) is None
