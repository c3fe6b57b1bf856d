"""The command of gateways: handed on to the program as it stands."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coordinator.cli.main import app
from coordinator.gateway import program
from coordinator.gateway.options import SUMMARY, Options, OptionsError

GIVEN = ("--server", "https://x", "--token", "t", "--once")


def invoke(*arguments: str) -> tuple[int, str]:
    """Exit code and output."""
    result = CliRunner().invoke(app, ["gateway", *arguments])
    return result.exit_code, result.output


def as_program(*arguments: str) -> tuple[int, str]:
    """The same of the whole program."""
    command = [sys.executable, "-m", "coordinator", "gateway", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner's stderr is gone after each call: no log must be bound to it."""
    monkeypatch.setattr(program, "configure_logging", lambda level, form: None)


def test_options_and_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Options] = []

    def run(options: Options) -> int:
        seen.append(options)
        return 7

    monkeypatch.setattr(program, "run", run)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert invoke(*GIVEN)[0] == 7
    assert seen == [Options(server="https://x", token="t", once=True)]
    code, output = invoke("--server", "https://x", "--token-file", "/nonexistent")
    assert (code, "--token-file /nonexistent cannot be read" in output) == (1, True)
    assert invoke("--server", "https://x", "--what")[0] == 2
    assert "--interface-prefix" in invoke("--help")[1]
    assert len(seen) == 1


def test_what_the_program_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Options) -> int:
        raise OptionsError("`wg` is not installed")

    monkeypatch.setattr(program, "run", refuse)
    code, output = invoke(*GIVEN)
    assert (code, "`wg` is not installed" in output) == (1, True)


def test_with_and_without_global_options(tmp_path: Path) -> None:
    """The short way and the long one say the same; only the long one speaks JSON."""
    assert SUMMARY[:60] in as_program("--help")[1]
    assert as_program("-c", str(tmp_path), "--help") == as_program("--help")
    wrong = ("--server", "x", "--token", "t")
    assert as_program(*wrong) == (
        1,
        "Error: --server `x` is no address like https://coordinator.example.com\n",
    )
    code, output = as_program(*wrong, "-o", "json")
    assert (code, output.startswith('{"error": "--server `x` is no address')) == (1, True)
