"""Tables, times and errors."""

from __future__ import annotations

import pytest
import typer

from coordinator.cli import output


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert output.table(["A", "Name"], [["1", "x"], ["22", "longer"]]).splitlines() == [
        "A  | Name",
        "1  | x",
        "22 | longer",
    ]


def test_times() -> None:
    assert output.moment(None) == "-"
    assert len(output.moment("2026-01-02T03:04:05Z")) == 19


def test_errors_end_with_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as stop:
        output.fail("no")
    assert stop.value.exit_code == 1
    assert capsys.readouterr().err == "Error: no\n"
