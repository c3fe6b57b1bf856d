"""Durations as Go reads and prints them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acl.durations import DurationError, format_duration, parse_duration

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "value", "printed"),
    [
        ("0", 0, "0s"),
        ("30s", 30 * SECOND, "30s"),
        ("-1m", -60 * SECOND, "-1m0s"),
        ("200h", 200 * 3600 * SECOND, "200h0m0s"),
        ("168h0m1s", (168 * 3600 + 1) * SECOND, "168h0m1s"),
        ("1.5s", 3 * SECOND // 2, "1.5s"),
        (".5m", 30 * SECOND, "30s"),
        ("20ms", 20 * 10**6, "20ms"),
        ("3us", 3000, "3µs"),
        ("+7ns", 7, "7ns"),
    ],
)
def test_durations(text: str, value: int, printed: str) -> None:
    assert parse_duration(text) == value
    assert format_duration(value) == printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", 'time: invalid duration "abc"'),
        ("", 'time: invalid duration ""'),
        ("5", 'time: missing unit in duration "5"'),
        ("7d", 'time: unknown unit "d" in duration "7d"'),
        ("9999999999h", 'time: invalid duration "9999999999h"'),
    ],
)
def test_bad_durations(text: str, message: str) -> None:
    with pytest.raises(DurationError) as caught:
        parse_duration(text)
    assert str(caught.value) == message


@settings(max_examples=150)
@given(st.integers(-(2**62), 2**62))
def test_what_is_printed_reads_back(value: int) -> None:
    assert parse_duration(format_duration(value)) == value


@settings(max_examples=150)
@given(st.text(alphabet="0123456789.hmsnuµd+-", max_size=10))
def test_any_text_is_a_duration_or_the_documented_error(text: str) -> None:
    try:
        parse_duration(text)
    except DurationError as error:
        assert str(error).startswith("time: ")
