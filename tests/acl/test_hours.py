"""Hours of the week."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from acl.hours import HoursError, parse_hours


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-06-01T05:00:00", True),  # a Monday, 07:00 in Berlin
        ("2026-06-01T04:59:59", False),
        ("2026-06-01T16:59:59", True),
        ("2026-06-01T17:00:00", False),
        ("2026-06-06T10:00:00", False),  # a Saturday
        ("2026-12-01T06:00:00", True),  # winter: 07:00 is 06:00 UTC
        ("2026-12-01T05:30:00", False),
    ],
)
def test_working_hours_follow_the_zone(moment: str, inside: bool) -> None:
    assert parse_hours("Mon-Fri 07:00-19:00 Europe/Berlin").holds(at(moment)) is inside


def test_spans_may_pass_midnight_and_the_end_of_the_week() -> None:
    hours = parse_hours("Fri-Mon 22:00-06:00, Wed 12:00-13:00 UTC")
    assert hours.holds(at("2026-06-01T23:00:00"))
    assert hours.holds(at("2026-06-02T05:59:00"))
    assert not hours.holds(at("2026-06-02T06:00:00"))
    assert not hours.holds(at("2026-06-02T23:00:00"))
    assert hours.holds(at("2026-06-03T12:30:00"))
    assert parse_hours("00:00-24:00 UTC").holds(at("2026-06-03T23:59:59"))


@pytest.mark.parametrize(
    "text",
    ["", "Mon-Fri 07:00-19:00", "Mon 7-19 UTC", "Foo 07:00-19:00 UTC", "Mon 25:00-26:00 UTC",
     "Mon 07:00-19:00 Europe/Nowhere", "Mon 07:00-19:00; Tue 07:00-19:00 UTC"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(HoursError):
        parse_hours(text)


def test_when_hours_end() -> None:
    hours = parse_hours("Mon-Fri 07:00-12:00, Mon-Fri 12:00-19:00 UTC")
    monday = datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert hours.end_after(monday) == datetime(2026, 3, 2, 19, tzinfo=UTC)
    assert hours.end_after(datetime(2026, 3, 1, 9, tzinfo=UTC)) is None
    assert parse_hours("00:00-24:00 UTC").end_after(monday) is None
    night = parse_hours("Fri 22:00-06:00 Europe/Berlin")
    assert night.end_after(datetime(2026, 3, 28, 3, tzinfo=UTC)) == datetime(2026, 3, 28, 5, tzinfo=UTC)
