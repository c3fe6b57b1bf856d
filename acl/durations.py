"""Durations as Go writes and reads them, the form `checkPeriod` uses.

Here: parsing and printing. Not here: which durations a policy allows (`validate_ssh`). Source for the
grammar and the
error texts: Go's `time.ParseDuration` and `Duration.String`.
"""

from __future__ import annotations

import json
import re
from fractions import Fraction

__all__ = ["DurationError", "format_duration", "parse_duration"]

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_TERM = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_MAX = 2**63 - 1


class DurationError(ValueError):
    """Not a duration; the message is Go's."""


def parse_duration(text: str) -> int:
    """Read `1h30m`, `-5s`, `0` and the like.

    Returns:
        Nanoseconds.
    Raises:
        DurationError: anything else, or more than 2^63-1 ns.
    """
    quoted = json.dumps(text, ensure_ascii=False)
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest:
        raise DurationError(f"time: invalid duration {quoted}")
    total = Fraction(0)
    while rest:
        term = _TERM.match(rest)
        if term is None or not (term.group(1) or term.group(2)) or not rest[0].isascii():
            raise DurationError(f"time: invalid duration {quoted}")
        unit = term.group(3)
        if not unit:
            raise DurationError(f"time: missing unit in duration {quoted}")
        if unit not in _UNITS:
            raise DurationError(
                f"time: unknown unit {json.dumps(unit, ensure_ascii=False)} in duration {quoted}"
            )
        # A fraction is read digit by digit, so that a long one costs no precision.
        fraction = Fraction(int(term.group(2)), 10 ** len(term.group(2))) if term.group(2) else Fraction(0)
        total += (int(term.group(1) or "0") + fraction) * _UNITS[unit]
        if total > _MAX:
            raise DurationError(f"time: invalid duration {quoted}")
        rest = rest[term.end() :]
    nanoseconds = int(total)
    return -nanoseconds if text.startswith("-") else nanoseconds


def format_duration(nanoseconds: int) -> str:
    """The way Go prints a duration: `200h0m0s`, `1m0s`, `1.5s`, `20ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign, value = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if value < size * 1000:
            return f"{sign}{_decimal(value, size)}{unit}"
    minutes, remainder = divmod(value, 60 * 10**9)
    seconds = f"{_decimal(remainder, 10**9)}s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def _decimal(value: int, size: int) -> str:
    whole, part = divmod(value, size)
    if not part:
        return str(whole)
    digits = str(part).rjust(len(str(size)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"
