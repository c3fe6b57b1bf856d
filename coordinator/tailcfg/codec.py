"""Go-flavoured JSON: how times, durations and absent values are written and read.

Bytes out are compact; unknown fields of newer clients are ignored; every failure is a WireError that names
the place.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from coordinator.tailcfg.errors import WireError

T = TypeVar("T")

GO_ZERO_TIME = "0001-01-01T00:00:00Z"

_encoder = msgspec.json.Encoder()


def encode(value: Any) -> bytes:
    """Compact JSON of a msgspec struct or of plain values; `UNSET` fields are left out."""
    return _encoder.encode(value)


def decode(data: bytes, kind: type[T]) -> T:
    """Decode one JSON document.

    Raises:
        WireError: not JSON, or a field of the wrong type; the message holds the path (`$.Hostinfo`), never
        the value.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a valid {kind.__name__}: {error}") from error


def go_time(moment: datetime) -> str:
    """RFC 3339 in UTC, as Go's time.Time reads it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_go_time(text: str) -> datetime | None:
    """A time as Go writes it; Go's zero time is None.

    Raises:
        WireError: not RFC 3339.
    """
    if text == "" or text.startswith("0001-01-01T00:00:00"):
        return None
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        raise WireError("a time is not RFC 3339") from None
    if moment.tzinfo is None:
        raise WireError("a time has no zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise WireError("a time is out of range") from None
