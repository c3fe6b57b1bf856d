"""What time it is for windows."""

from datetime import timedelta

import pytest

from coordinator.gateway.clock import Anchor, Reading, Time, described, difference, moved, time_at, utc
from tests.coordinator.gateway.builders import NOW

HOUR = timedelta(hours=1)
ANCHOR = Anchor(server=NOW, wall=NOW - HOUR, boot_seconds=100.0, boot_id="a")


def reading(passed: timedelta, *, boot: str = "a", boot_seconds: float | None = None) -> Reading:
    """The clocks some time after the anchor; the wall clock is still an hour behind."""
    seconds = 100.0 + passed.total_seconds() if boot_seconds is None else boot_seconds
    return Reading(NOW - HOUR + passed, seconds, boot)


def test_without_a_server_the_wall_clock_is_all_there_is() -> None:
    assert time_at(reading(timedelta(0)), None) == Time.exactly(NOW - HOUR)
    assert difference(reading(timedelta(0)), None) is None


def test_within_a_boot_nobody_can_set_the_clock() -> None:
    later = reading(timedelta(minutes=5))
    assert time_at(later, ANCHOR) == Time.exactly(NOW + timedelta(minutes=5))
    stepped = later._replace(wall=later.wall + timedelta(days=300))
    assert time_at(stepped, ANCHOR) == Time.exactly(NOW + timedelta(minutes=5))
    assert difference(stepped, ANCHOR) == timedelta(days=300) - HOUR


def test_after_a_reboot_both_clocks_are_considered() -> None:
    """It was an hour behind: now it still is, or somebody set it right."""
    now = time_at(reading(timedelta(hours=3), boot="b", boot_seconds=60.0), ANCHOR)
    assert now == Time(NOW + 2 * HOUR, NOW + 3 * HOUR)
    assert not now.is_open(NOW, NOW + 2.5 * HOUR), "it may be over"
    assert not now.is_open(NOW + 2.5 * HOUR, None), "it may not have begun"
    assert now.is_open(NOW, NOW + 4 * HOUR)


def test_after_a_reboot_it_is_never_earlier_than_it_was() -> None:
    """A machine without a battery for its clock believes it is 1970."""
    lost = Reading(utc(30), 30.0, "b")
    assert time_at(lost, ANCHOR).earliest == NOW + timedelta(seconds=30)
    ahead = difference(lost, ANCHOR)
    assert ahead is not None
    assert "behind the server's" in described(ahead)


def test_a_clock_that_was_right_is_believed_after_a_reboot() -> None:
    right = Anchor(server=NOW, wall=NOW - timedelta(seconds=1), boot_seconds=100.0, boot_id="a")
    now = Reading(NOW + HOUR, 60.0, "b")
    assert time_at(now, right) == Time.exactly(NOW + HOUR)
    assert difference(now, right) is None


def test_what_is_kept_says_how_much_has_passed() -> None:
    later = reading(timedelta(minutes=5))
    kept = moved(ANCHOR, later)
    assert kept.server == NOW + timedelta(minutes=5)
    assert time_at(later, kept) == time_at(later, ANCHOR)
    assert moved(ANCHOR, later._replace(boot_id="b")) == ANCHOR


def test_a_window_includes_its_beginning_and_not_its_end() -> None:
    now = Time.exactly(NOW)
    assert now.is_open(NOW, None)
    assert now.is_open(NOW - HOUR, NOW + timedelta(microseconds=1))
    assert not now.is_open(NOW - HOUR, NOW)


def test_the_next_change_is_when_either_end_gets_there() -> None:
    moments = [NOW - HOUR, NOW + timedelta(seconds=30), NOW + HOUR]
    assert Time.exactly(NOW).next_change(moments) == 30
    assert Time(NOW, NOW + timedelta(seconds=20)).next_change(moments) == 10
    assert Time.exactly(NOW + HOUR).next_change(moments) is None


@pytest.mark.parametrize(("seconds", "way"), [(90.0, "90.0 s ahead of"), (-7.25, "7.2 s behind")])
def test_in_words(seconds: float, way: str) -> None:
    assert way in described(timedelta(seconds=seconds))
