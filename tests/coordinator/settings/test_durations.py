"""Durations."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.settings.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90d", 7_776_000),
        ("1h30m", 5400),
        ("1y2w", 32_745_600),
        ("800ms", 0.8),
        ("1.5s", 1.5),
        ("5m", 300),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "5", "5 h", "-1h", "1x", "99999999999y"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|thousand"):
        parse_duration(text)


@given(st.text(alphabet="0123456789.ywdhms ", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert parse_duration(text) >= timedelta()
    except ValueError:
        return
