"""Options, exit codes and signals."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from coordinator.gateway import program
from coordinator.gateway.options import Options, OptionsError
from coordinator.gateway.program import run
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
        ({"server": "https://x:99999"}, "--server"),
        ({"token": ""}, "token is empty"),
        ({"token": "two words"}, "more than one word"),
        ({"token": "ключ"}, "more than one word"),
        ({"token": "a\x00b"}, "more than one word"),
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


# Each of them would be a good part of what the whole program needs.
_NOT_LOADED = (
    "aiohttp",
    "cryptography",
    "email",
    "greenlet",
    "h2",
    "http.client",
    "importlib.metadata",
    "prometheus_client",
    "pygments",
    "rich",
    "sqlalchemy",
    "typer",
    "uvloop",
    "yaml",
)
_RUN_AND_LIST = f"""
import json, sys
from coordinator.__main__ import main
try:
    main()
finally:
    print(json.dumps([name for name in {_NOT_LOADED} if sys.modules.get(name) is not None]))
"""


def test_what_a_small_program_does_not_load(tmp_path: Path) -> None:
    """One round against a server, with commands that do nothing."""
    for command in ("wg", "ip", "nft"):
        (tmp_path / command).write_text("#!/bin/sh\necho '[]'\n")
        (tmp_path / command).chmod(0o755)
    with FakeGatewayServer() as server:
        server.wish()
        arguments = ("--server", server.url, "--token", TOKEN, "--state", str(tmp_path / "state"))
        done = subprocess.run(
            [sys.executable, "-c", _RUN_AND_LIST, "gateway", *arguments, "--once"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        )
        assert server.reports, done.stderr
    assert json.loads(done.stdout) == []
