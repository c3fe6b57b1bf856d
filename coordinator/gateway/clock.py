"""What time it is for windows: the server's clock where it is known, and how sure a gateway can be. Pure.

While the program runs, the server's time of the last wish and the kernel's uninterrupted clock
(CLOCK_BOOTTIME, which nobody sets and which goes on during suspend) give the server's time, whatever is
done to the clock on the wall. The pair is kept on disk with the id of this boot, so a restart of the
program does not lose it.

After a reboot without the server only the wall clock is left. It may be right by now, or wrong by as much
as it was; both are considered, and a window is open only when it is open for both. It is never earlier than
a moment the server is known to have passed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

TOLERANCE = timedelta(seconds=5)
"""Differences from the server's clock below this are not worth a word."""


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of the server's clock, and where the own clocks stood at it."""

    server: datetime
    wall: datetime
    boot_seconds: float
    boot_id: str

    @property
    def offset(self) -> timedelta:
        """What has to be added to the wall clock."""
        return self.server - self.wall


class Reading(NamedTuple):
    """The own clocks at one moment: CLOCK_REALTIME in UTC, CLOCK_BOOTTIME and the boot it counts from."""

    wall: datetime
    boot_seconds: float
    boot_id: str


class Time(NamedTuple):
    """The server's time lies between these two; they are equal while the anchor is of this boot."""

    earliest: datetime
    latest: datetime

    @classmethod
    def exactly(cls, moment: datetime) -> Time:
        """No doubt."""
        return cls(moment, moment)

    def is_open(self, not_before: datetime, not_after: datetime | None) -> bool:
        """Whether a window is open without doubt. It ends at `not_after`, not after it."""
        return not_before <= self.earliest and (not_after is None or self.latest < not_after)

    def next_change(self, moments: list[datetime]) -> float | None:
        """Seconds until the next of these moments has been reached by either end; None: never."""
        waits = [(moment - now).total_seconds() for moment in moments for now in set(self) if moment > now]
        return min(waits, default=None)


def time_at(reading: Reading, anchor: Anchor | None) -> Time:
    """The server's time, as well as it can be known."""
    if anchor is None:
        return Time.exactly(reading.wall)
    if reading.boot_id == anchor.boot_id:
        passed = timedelta(seconds=reading.boot_seconds - anchor.boot_seconds)
        return Time.exactly(anchor.server + passed)
    # The anchor is from before the reboot, and at least as much time has passed as this boot is old.
    reached = anchor.server + timedelta(seconds=reading.boot_seconds)
    corrected = reading.wall + anchor.offset if abs(anchor.offset) > TOLERANCE else reading.wall
    return Time(
        max(min(reading.wall, corrected), reached),
        max(reading.wall, corrected, reached),
    )


def moved(anchor: Anchor, reading: Reading) -> Anchor:
    """The same knowledge with the clocks' present positions, to be kept on disk: it says what has passed."""
    if reading.boot_id != anchor.boot_id:
        return anchor
    passed = timedelta(seconds=reading.boot_seconds - anchor.boot_seconds)
    return Anchor(
        server=anchor.server + passed,
        wall=reading.wall,
        boot_seconds=reading.boot_seconds,
        boot_id=reading.boot_id,
    )


def difference(reading: Reading, anchor: Anchor | None) -> timedelta | None:
    """How far the wall clock is ahead of the server's (negative: behind); None when nobody knows."""
    if anchor is None:
        return None
    now = time_at(reading, anchor)
    if reading.boot_id == anchor.boot_id:
        return reading.wall - now.earliest
    # Without the server only one thing is certain: it cannot be earlier than it already was.
    reached = anchor.server + timedelta(seconds=reading.boot_seconds)
    return reading.wall - reached if reading.wall < reached else None


def described(ahead: timedelta) -> str:
    """A sentence for the report and the log."""
    seconds = ahead.total_seconds()
    way = "ahead of" if seconds > 0 else "behind"
    return f"this gateway's clock is {abs(seconds):.1f} s {way} the server's; windows follow the server's"


def utc(seconds: float) -> datetime:
    """A Unix time."""
    return datetime.fromtimestamp(seconds, UTC)
