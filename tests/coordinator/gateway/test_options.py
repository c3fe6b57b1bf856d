"""The command line: what it says, and what is refused before anything is touched."""

from pathlib import Path

import pytest

from coordinator.gateway.options import Options, OptionsError, read_options

SERVER = ("--server", "https://x")


def test_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(" secret\n")
    monkeypatch.setenv("STATE_DIRECTORY", "/run/state")
    given = read_options([*SERVER, "--token-file", str(tmp_path / "token")])
    assert given == Options(server="https://x", token="secret", state=Path("/run/state"))
    assert "secret" not in repr(given)
    monkeypatch.delenv("STATE_DIRECTORY")
    more = ("--interface-prefix=c-", "--ca", "/ca.pem", "--once", "--log-format", "json")
    assert read_options([*SERVER, "--token", "t", *more]) == Options(
        server="https://x",
        token="t",
        prefix="c-",
        authority=Path("/ca.pem"),
        once=True,
        log_format="json",
    )
    assert read_options([*SERVER, "--token", "t", "--state", "/else"]).state == Path("/else")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "one of them"),
        (("--token", "x", "--token-file", "y"), "one of them"),
        (("--token-file", "/nonexistent"), "cannot be read"),
    ],
)
def test_the_token(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(OptionsError, match=says):
        read_options([*SERVER, *arguments])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--token", "x"), "--server"),
        ((*SERVER, "--token", "x", "--log-format", "xml"), "'text', 'json'"),
        ((*SERVER, "--token", "x", "--on"), "unrecognized arguments: --on"),
    ],
)
def test_a_wrong_call(arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        read_options(arguments)
    assert left.value.code == 2
    assert says in capsys.readouterr().err
