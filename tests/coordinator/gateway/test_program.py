"""Options, exit codes and signals."""

import os
import signal
import threading
from pathlib import Path

import pytest

from coordinator.gateway import program
from coordinator.gateway.program import Options, OptionsError, run
from coordinator.gateway.state import State
from tests.support.fake_gateway_server import TOKEN, FakeGatewayServer


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that has all of them."""
    monkeypatch.setattr(program, "missing_commands", list)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"server": "coordinator.example.com"}, "--server"),
        ({"server": "http://[::1"}, "--server"),
        ({"server": "ftp://x"}, "--server"),
        ({"token": ""}, "token is empty"),
        ({"token": "two words"}, "more than one word"),
        ({"token": "ключ"}, "more than one word"),
        ({"server": "https://x", "authority": Path("/nonexistent.pem")}, "--ca"),
    ],
)
def test_wrong_options(tmp_path: Path, fields: dict[str, object], says: str) -> None:
    given = {"server": "http://127.0.0.1:1", "token": TOKEN, "state": tmp_path / "state", **fields}
    with pytest.raises(OptionsError, match=says):
        run(Options(**given))  # type: ignore[arg-type]
    assert not (tmp_path / "state").exists()


def test_missing_commands_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "missing_commands", lambda: ["`wg` is not installed", "`nft` is not"])
    with pytest.raises(OptionsError, match="`wg` is not installed; `nft`"):
        run(Options(server="http://127.0.0.1:1", token=TOKEN, state=tmp_path))


def test_one_program_for_one_state(tmp_path: Path) -> None:
    state = State(tmp_path)
    with pytest.raises(OptionsError, match="another gateway program"):
        run(Options(server="http://127.0.0.1:1", token=TOKEN, state=tmp_path))
    state.close()


def test_once_without_a_server(tmp_path: Path) -> None:
    options = Options(server="http://127.0.0.1:1", token=TOKEN, state=tmp_path, once=True)
    assert TOKEN not in repr(options)
    assert run(options) == 1


def test_sigterm_ends_it_well(tmp_path: Path) -> None:
    """Without an interface in the wish nothing of the machine is touched."""
    with FakeGatewayServer() as server:
        server.wish()
        thread = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
        thread.start()
        assert run(Options(server=server.url, token=TOKEN, state=tmp_path)) == 0
        assert server.asked[0] == ""
