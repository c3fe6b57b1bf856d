"""Pieces of pages: everything from outside is escaped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from coordinator.tailnet.errors import ForbiddenError
from coordinator.web.access_html import (
    button,
    duration_text,
    error_page,
    facts_table,
    moment_text,
    private_page,
    rows_table,
)


def test_texts_are_escaped() -> None:
    assert "<b>" not in facts_table([("<b>", "<b>")])
    assert "<b>" not in rows_table(["<b>"], [["x"]])
    assert '"><b>' not in button('"><b>', "<b>", '"><b>', '"><b>')
    assert "<b>" not in str(error_page(ForbiddenError("<b>")).text)


def test_pages_are_private() -> None:
    answer = private_page(200, "T", "")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert error_page(ForbiddenError("no")).status == 403


@pytest.mark.parametrize(("minutes", "text"), [(0, "0s"), (90, "1h 30m"), (60, "1h"), (0.5, "30s")])
def test_durations(minutes: float, text: str) -> None:
    assert duration_text(timedelta(minutes=minutes)) == text


def test_moments() -> None:
    assert moment_text(datetime(2026, 6, 1, 9, 5, tzinfo=UTC)) == "2026-06-01 09:05 UTC"
    assert moment_text(None) == "-"
