"""The command of gateways: its options, before anything is touched."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from coordinator.cli.main import app
from coordinator.gateway import program
from coordinator.gateway.program import Options, OptionsError


def invoke(*arguments: str) -> tuple[int, str]:
    """Exit code and output."""
    result = CliRunner().invoke(app, ["gateway", *arguments])
    return result.exit_code, result.output


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner's stderr is gone after each call: no log must be bound to it."""
    monkeypatch.setattr("coordinator.telemetry.logging.configure_logging", lambda level, form: None)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """What the program would have been started with."""
    seen: list[Options] = []

    def run(options: Options) -> int:
        seen.append(options)
        return 7

    monkeypatch.setattr(program, "run", run)
    return seen


def test_options(given: list[Options], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(" secret\n")
    monkeypatch.setenv("STATE_DIRECTORY", "/run/state")
    code, _ = invoke("--server", "https://x", "--token-file", str(tmp_path / "token"))
    assert code == 7
    assert given == [Options(server="https://x", token="secret", state=Path("/run/state"))]
    monkeypatch.delenv("STATE_DIRECTORY")
    invoke("--server", "https://x", "--token", "t", "--interface-prefix", "c-", "--ca", "/ca.pem", "--once")
    assert given[1] == Options(
        server="https://x", token="t", prefix="c-", authority=Path("/ca.pem"), once=True
    )
    invoke("--server", "https://x", "--token", "t", "--state", "/else")
    assert given[2].state == Path("/else")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "one of them"),
        (("--token", "x", "--token-file", "y"), "one of them"),
        (("--token-file", "/nonexistent"), "cannot be read"),
        (("--token", "x", "--log-format", "xml"), "text or json"),
    ],
)
def test_wrong_options(given: list[Options], arguments: tuple[str, ...], says: str) -> None:
    code, output = invoke("--server", "https://x", *arguments)
    assert code == 1
    assert says in output
    assert given == []


def test_what_the_program_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Options) -> int:
        raise OptionsError("`wg` is not installed")

    monkeypatch.setattr(program, "run", refuse)
    code, output = invoke("--server", "https://x", "--token", "x")
    assert (code, "`wg` is not installed" in output) == (1, True)
