"""Moments, and how long from now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer

from coordinator.cli.wireguard_times import moment_after


def test_both_spellings() -> None:
    assert moment_after("--until", "2099-01-31T12:00:00Z") == "2099-01-31T12:00:00+00:00"
    in_a_week = datetime.fromisoformat(moment_after("--until", "7d"))
    assert abs(in_a_week - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [("soon", "neither a duration"), ("2099-01-31", "no time zone"), ("9999999d", "neither a duration")],
)
def test_what_is_no_time(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        moment_after("--until", text)
    assert said in capsys.readouterr().err
