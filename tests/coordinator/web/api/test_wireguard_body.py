"""Durations and numbers in bodies."""

from __future__ import annotations

from datetime import timedelta

import pytest

from coordinator.tailnet.errors import InvalidError
from coordinator.web.api.body import Body
from coordinator.web.api.wireguard_body import duration, number

HOUR = timedelta(hours=1)


def test_less_than_nothing() -> None:
    with pytest.raises(InvalidError, match="`a`: `-5m` is less than nothing"):
        duration(Body({"a": "-5m"}), "a", HOUR)


def test_values() -> None:
    body = Body({"a": "90m", "b": "7d", "zero": "0", "n": 5, "text": "12"})
    assert duration(body, "a", HOUR) == timedelta(minutes=90)
    assert duration(body, "b", HOUR) == timedelta(days=7)
    assert duration(body, "zero", HOUR) == timedelta()
    assert duration(body, "absent", HOUR) == HOUR
    assert (number(body, "n", 1), number(body, "text", 1), number(body, "absent", 1)) == (5, 12, 1)


@pytest.mark.parametrize("wrong", ["x", "-1", "1.5", "9" * 400, "٣"])
def test_what_is_none(wrong: str) -> None:
    with pytest.raises(InvalidError, match="`a`: "):
        number(Body({"a": wrong}), "a", 1)
    if wrong not in ("1.5",):
        with pytest.raises(InvalidError, match="`a`: "):
            duration(Body({"a": wrong}), "a", HOUR)
