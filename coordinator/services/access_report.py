"""The five figures of just-in-time access over some requests."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from coordinator.tailnet.access import AccessRequest


def report(requests: Iterable[AccessRequest], now: datetime) -> dict[str, Any]:
    """Figures as `access report` shows them; ratios from 0 to 1, None where there is nothing to divide by.

    - average_duration_seconds: how long windows were open; those still open count until their end.
    - auto_closed_ratio: windows that ended by themselves at their time, of those that are over.
    - host_scoped_ratio: windows on machines rather than networks.
    - manual_exceptions: windows somebody had to step in for: opened by break-glass, or revoked.
    - time_to_open_seconds: from request to open; incidents, which nobody asks for, apart.
    """
    all_ = list(requests)
    opened = [each for each in all_ if each.opens_at is not None]
    lengths = [length.total_seconds() for each in opened if (length := each.length()) is not None]
    over = [each for each in opened if each.state(now) == "ended"]
    by_itself = [each for each in over if each.end_reason in (None, "expired")]
    waits = sorted(
        (each.opens_at - each.requested_at).total_seconds()
        for each in opened
        if each.opens_at is not None and not each.incident
    )
    return {
        "requests": len(all_),
        "opened": len(opened),
        "average_duration_seconds": statistics.fmean(lengths) if lengths else None,
        "auto_closed_ratio": len(by_itself) / len(over) if over else None,
        "host_scoped_ratio": sum(each.host_scoped for each in opened) / len(opened) if opened else None,
        "manual_exceptions": sum(each.break_glass or each.end_reason == "revoked" for each in opened),
        "time_to_open_seconds": {
            "median": statistics.median(waits) if waits else None,
            "p95": _percentile(waits, 0.95),
        },
    }


def _percentile(ordered: list[float], share: float) -> float | None:
    """The smallest value that at least this share does not exceed."""
    if not ordered:
        return None
    position = max(0, -int(-share * len(ordered) // 1) - 1)
    return ordered[position]
