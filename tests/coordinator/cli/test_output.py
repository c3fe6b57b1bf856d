"""Tables, times and errors."""

from __future__ import annotations

import io
import time

import pytest
import typer

from coordinator.cli import output


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert output.table(["A", "Name"], [["1", "x"], ["22", "longer"]]).splitlines() == [
        "A  | Name",
        "1  | x",
        "22 | longer",
    ]


def test_strangers_names_do_not_command_the_terminal() -> None:
    assert output.table(["A"], [["x\x1b[2J\ny"]]).splitlines() == ["A", "x\\x1b[2J\\ny"]


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    drawn = output.table(["Name"], [["[bold]x"], [output.Alert("gone\x1b")]])
    assert "[bold]x" in drawn, "cells are no markup"
    assert "\x1b[31mgone\\x1b" in drawn
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.table(["Name"], [["x"]]) == "Name\nx"


def test_what_has_passed_is_noticeable() -> None:
    assert isinstance(output.deadline("2001-01-01T00:00:00Z"), output.Alert)
    assert not isinstance(output.deadline("2999-01-01T00:00:00Z"), output.Alert)
    assert output.deadline(None) == "-"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
def test_the_ends_of_the_calendar(text: str, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert output.moment(text)
        assert output.deadline(text)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(("typed", "meant"), [("y\n", True), ("Yes\n", True), ("\n", False), ("", False)])
def test_questions_are_asked_and_not_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, meant: bool
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert output.confirm("Sure?") is meant
    shown = capsys.readouterr()
    assert (shown.out, "Sure?" in shown.err) == ("", True)


def test_times() -> None:
    assert output.moment(None) == "-"
    assert len(output.moment("2026-01-02T03:04:05Z")) == 19


def test_errors_end_with_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as stop:
        output.fail("no")
    assert stop.value.exit_code == 1
    assert capsys.readouterr().err == "Error: no\n"
