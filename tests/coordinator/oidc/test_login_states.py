"""Logins under way."""

from __future__ import annotations

from itertools import count

from coordinator.oidc.login_states import MAX_ENTRIES, MAX_OF_ONE, BrowserSession, SingleUse
from tests.support.builders import FakeClock


def store() -> tuple[SingleUse[BrowserSession], FakeClock]:
    clock, numbers = FakeClock(), count()
    return SingleUse(clock, lambda size: f"{next(numbers):0{2 * size}x}"), clock


def entry(clock: FakeClock, name: str = "p") -> BrowserSession:
    return BrowserSession(provider=name, id_token="t", began=clock())


def test_an_entry_is_taken_once() -> None:
    states, clock = store()
    key = states.put(entry(clock))
    assert len(key) == 64
    assert states.take(key) == entry(clock)
    assert states.take(key) is None
    assert states.take("invented") is None


def test_an_old_entry_is_gone() -> None:
    states, clock = store()
    key = states.put(entry(clock))
    clock.forward(minutes=15)
    assert states.take(key) is None
    assert len(states) == 0


def test_beyond_the_bound_the_oldest_is_forgotten() -> None:
    states, clock = store()
    first = states.put(entry(clock, "first"))
    second = states.put(entry(clock, "second"))
    for _ in range(MAX_ENTRIES - 1):
        states.put(entry(clock))
    assert len(states) == MAX_ENTRIES
    assert states.take(first) is None
    assert states.take(second) is not None


def test_one_subject_does_not_push_out_the_others() -> None:
    clock, numbers = FakeClock(), count()
    states: SingleUse[BrowserSession] = SingleUse(
        clock, lambda size: f"{next(numbers):0{2 * size}x}", subject=lambda entry: entry.provider
    )
    others = [states.put(entry(clock, name)) for name in ("ada", "bob")]
    keys = [states.put(entry(clock, "busy")) for _ in range(2 * MAX_ENTRIES)]
    assert len(states) == 2 + MAX_OF_ONE
    assert states.take(keys[-MAX_OF_ONE]) is not None
    assert states.take(keys[-MAX_OF_ONE - 1]) is None
    assert all(states.take(key) for key in others)


def test_entries_about_nothing_are_not_bounded_so() -> None:
    clock, numbers = FakeClock(), count()
    states: SingleUse[BrowserSession] = SingleUse(
        clock, lambda size: f"{next(numbers):0{2 * size}x}", subject=lambda entry: ""
    )
    for _ in range(3 * MAX_OF_ONE):
        states.put(entry(clock))
    assert len(states) == 3 * MAX_OF_ONE
