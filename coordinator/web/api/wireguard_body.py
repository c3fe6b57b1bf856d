"""Reading of bodies that only plain WireGuard has: durations, numbers, moments that may be left out."""

from __future__ import annotations

from datetime import timedelta

from acl.durations import DurationError
from acl.profiles import duration_seconds
from coordinator.tailnet.errors import InvalidError
from coordinator.web.api.body import Body

MAX_DIGITS = 9


def duration(body: Body, name: str, default: timedelta) -> timedelta:
    """A duration such as `90m` or `7d`; InvalidError names the field."""
    text = body.text(name)
    if not text:
        return default
    try:
        found = timedelta(seconds=duration_seconds("0s" if text == "0" else text))
    except (DurationError, OverflowError):
        raise InvalidError(f"`{name}`: `{text[:40]}` is not a duration such as 90m, 4h or 7d") from None
    if found < timedelta():
        raise InvalidError(f"`{name}`: `{text[:40]}` is less than nothing")
    return found


def number(body: Body, name: str, default: int) -> int:
    """A number that is not negative; InvalidError names the field."""
    text = body.text(name)
    if not text:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > MAX_DIGITS:
        raise InvalidError(f"`{name}`: `{text[:40]}` is not a number")
    return int(text)
