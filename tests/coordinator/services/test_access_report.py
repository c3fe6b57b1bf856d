"""The five figures."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from coordinator.services.access_report import report
from tests.coordinator.tailnet.test_access import HOUR, request
from tests.support.builders import NOW


def test_figures_of_four_windows() -> None:
    asked = replace(request(), requested_at=NOW - timedelta(minutes=4))
    by_itself = replace(asked.opened(NOW), host_scoped=True)
    revoked = asked.opened(NOW).ended(NOW + HOUR / 2, "bob", "revoked")
    incident = replace(request().opened(NOW), incident="fire")
    never = request()
    found = report([by_itself, revoked, incident, never], NOW + 2 * HOUR)
    assert (found["requests"], found["opened"]) == (4, 3)
    assert found["average_duration_seconds"] == 3000
    assert round(found["auto_closed_ratio"], 3) == 0.667
    assert round(found["host_scoped_ratio"], 3) == 0.333
    assert found["manual_exceptions"] == 1
    assert found["time_to_open_seconds"] == {"median": 240, "p95": 240}


def test_nothing_at_all() -> None:
    found = report([], NOW)
    assert found["auto_closed_ratio"] is None
    assert found["time_to_open_seconds"] == {"median": None, "p95": None}
