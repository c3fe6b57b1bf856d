"""Durations as the field writes them: `90d`, `1h30m`, `1y2w`, `800ms`."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"y": 31_536_000.0, "w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|y|w|d|h|m|s)")
MAX = timedelta(days=365_000)


def parse_duration(text: str) -> timedelta:
    """A duration from its text; `0` is zero.

    Raises:
        ValueError: with what is wrong, fit to be shown.
    """
    stripped = text.strip()
    if stripped == "0":
        return timedelta()
    position, seconds = 0, 0.0
    while position < len(stripped):
        part = _PART.match(stripped, position)
        if part is None:
            raise ValueError(f"`{text}` is not a duration such as 90d, 1h30m or 45s")
        seconds += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if not stripped:
        raise ValueError("a duration such as 90d, 1h30m or 45s is missing")
    if seconds > MAX.total_seconds():
        raise ValueError(f"`{text}` is longer than a thousand years")
    return timedelta(seconds=seconds)
