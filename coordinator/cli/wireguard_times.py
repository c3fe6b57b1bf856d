"""Times as people give them to `wireguard` commands: a moment, or how long from now."""

from __future__ import annotations

from datetime import UTC, datetime

from coordinator.cli import output


def moment_after(option: str, text: str) -> str:
    """`2026-01-31T12:00:00Z`, or `7d` for in seven days, as RFC 3339."""
    from coordinator.settings.durations import parse_duration

    try:
        return (datetime.now(UTC) + parse_duration(text)).isoformat()
    except ValueError:
        return _moment(option, text)


def _moment(option: str, text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        output.fail(
            f"{option}: `{text}` is neither a duration such as 7d nor a time such as 2026-01-31T12:00:00Z"
        )
    if moment.tzinfo is None:
        output.fail(f"{option}: `{text}` has no time zone; append Z for UTC")
    return moment.isoformat()
