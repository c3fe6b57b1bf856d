"""Hours of the week in a time zone: `Mon-Fri 07:00-19:00 Europe/Berlin`.

Here: reading such a text, and whether a moment is inside. Not here: who may do what then (`profiles`).
Several spans are separated by commas and share the zone; one may end on the next day (`22:00-06:00`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["Hours", "HoursError", "parse_hours"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+)?(?P<from>\d\d:\d\d)-(?P<to>\d\d:\d\d)", re.IGNORECASE
)
_ZONE = re.compile(r"\s+(?P<zone>[A-Za-z_]+(?:/[A-Za-z_+\-0-9]+)*)$")


class HoursError(ValueError):
    """A text that names no hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """Days on which it begins (0 is Monday), and local times; `end` not after `begin`: the next day."""

    days: frozenset[int]
    begin: time
    end: time


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Spans of a week in one zone, and the text they were read from."""

    text: str
    zone: ZoneInfo
    spans: tuple[_Span, ...]

    def holds(self, moment: datetime) -> bool:
        """Whether an aware moment is inside; an end is outside."""
        local = moment.astimezone(self.zone)
        today, now = local.weekday(), local.time()
        yesterday = (local - timedelta(days=1)).weekday()
        for span in self.spans:
            overnight = span.end <= span.begin
            if today in span.days and span.begin <= now and (overnight or now < span.end):
                return True
            if overnight and yesterday in span.days and now < span.end:
                return True
        return False

    def end_after(self, moment: datetime) -> datetime | None:
        """When the span that holds a moment ends, for good and not just to be followed by the next one.

        None: never within a week, or the moment is outside.
        """
        if not self.holds(moment):
            return None
        local = moment.astimezone(self.zone)
        ends = sorted(
            datetime.combine(local.date() + timedelta(days=day), span.end, self.zone)
            for span in self.spans
            for day in range(-1, 8)
        )
        later = (end.astimezone(UTC) for end in ends if end.astimezone(UTC) > moment)
        return next((end for end in later if not self.holds(end)), None)


def parse_hours(text: str) -> Hours:
    """Read hours.

    Raises:
        HoursError: what is wrong with the text.
    """
    zone_match = _ZONE.search(text.strip())
    if zone_match is None:
        raise HoursError("name the time zone at the end, such as `Mon-Fri 07:00-19:00 Europe/Berlin`")
    try:
        zone = ZoneInfo(zone_match["zone"])
    except (ZoneInfoNotFoundError, ValueError):
        raise HoursError(f"`{zone_match['zone']}` is not a time zone such as Europe/Berlin or UTC") from None
    spans = []
    for part in text.strip()[: zone_match.start()].split(","):
        match = _SPAN.fullmatch(part.strip())
        if match is None:
            raise HoursError(f"`{part.strip()}` is not a span such as `Mon-Fri 07:00-19:00`")
        spans.append(
            _Span(
                days=_days(match["first"], match["last"]), begin=_time(match["from"]), end=_time(match["to"])
            )
        )
    return Hours(text=text.strip(), zone=zone, spans=tuple(spans))


def _days(first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    begin = _day(first)
    end = _day(last) if last else begin
    return frozenset((begin + step) % 7 for step in range((end - begin) % 7 + 1))


def _day(text: str) -> int:
    if text.lower() not in DAYS:
        raise HoursError(f"`{text}` is not a day: Mon, Tue, Wed, Thu, Fri, Sat or Sun")
    return DAYS.index(text.lower())


def _time(text: str) -> time:
    if text == "24:00":
        return time(0, 0)
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise HoursError(f"`{text}` is not a time of day") from None
