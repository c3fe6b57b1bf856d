"""The collector's reins."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from coordinator.telemetry import collector
from coordinator.telemetry.collector import NEVER, Collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


class Knot:
    """An object that holds on to itself."""

    def __init__(self) -> None:
        self.me = self


def test_young_cycles_are_collected_and_survivors_set_aside() -> None:
    made = Collector()
    made.begin()
    assert gc.get_threshold()[2] == NEVER
    before = gc.get_freeze_count()
    kept = [Knot() for _ in range(1000)]
    lost = weakref.ref(Knot())
    made.settle()
    assert lost() is None
    assert gc.get_freeze_count() >= before + len(kept)
    assert len(gc.get_objects(generation=2)) == 0


def test_what_was_set_aside_is_freed_by_its_reference_count() -> None:
    made = Collector()
    plain = type("Plain", (), {})()
    seen = weakref.ref(plain)
    made.settle()
    del plain
    assert seen() is None


def test_a_leak_of_cycles_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Collector()
    made.begin()
    monkeypatch.setattr(collector, "SUSPICIOUS", -made._after_last)
    knots = [Knot() for _ in range(2_000)]
    seen = weakref.ref(knots[0])
    gc.freeze()
    knots.clear()
    assert seen() is not None
    made.settle()
    assert seen() is None
