"""The two commands of the README: a first server from nothing, and the demo."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.child_process import ChildProcess
from tests.support.clients import VERSIONS
from tests.support.lab import Lab
from tests.support.server_process import PROGRAM
from tests.support.underlay import Host
from tests.support.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
_PASTE = re.compile(r"tailscale up [^\n]*--auth-key=\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickServer:
    """`coordinator serve --quickstart DIR` on a machine of its own."""

    host: Host
    folder: Path
    process: ChildProcess

    def start(self) -> None:
        """Start it in the foreground of its machine."""
        command = [*self.host.prefix, str(PROGRAM), "serve", "--quickstart", str(self.folder)]
        self.process.start(command, env={**os.environ, "PYTHONUNBUFFERED": "1"}, cwd=self.host.folder)

    def pasted(self) -> list[str]:
        """The arguments after `tailscale` in the command it prints, once it prints it."""

        def probe() -> re.Match[str] | None:
            assert self.process.running, self.process.log_tail()
            return _PASTE.search(self.process.log_text())

        found = eventually(probe, "the command to paste", within=20)
        return shlex.split(found[0])[1:]

    def interrupt(self) -> int:
        """Ctrl-C, and the exit code."""
        self.process.send(signal.SIGINT)
        return eventually(
            lambda: None if self.process.exit_code is None else (self.process.exit_code,), "the server to end"
        )[0]


@pytest.fixture(scope="module")
def quick(lab: Lab) -> Iterator[QuickServer]:
    """Started on an empty folder."""
    host = lab.host("quick")
    process = ChildProcess(name="quickstart", log_path=host.folder / "log")
    server = QuickServer(host=host, folder=host.folder / "var", process=process)
    server.start()
    yield server
    process.kill()


def test_what_it_prints_joins_clients_and_a_second_start_finds_them(lab: Lab, quick: QuickServer) -> None:
    arguments = quick.pasted()
    login_server = next(text.split("=", 1)[1] for text in arguments if text.startswith("--login-server="))
    assert login_server == f"http://{quick.host.address}:8080"
    pair = []
    for version in VERSIONS:
        client = lab.client(f"q-{version.replace('.', '-')}", version=version, login_server=login_server)
        client.tailscale(*arguments, "--accept-dns=false", f"--hostname={client.name}", "--timeout=30s")
        assert client.state() == "Running"
        pair.append(client)
    a, b = pair
    a.wait_peers(b.name)
    a.ping(b.ipv4)

    before = [(client.node_key(), client.addresses()) for client in pair]
    assert quick.interrupt() == 0
    quick.start()
    a.wait_online(b.name, within=30)
    b.wait_online(a.name, within=30)
    assert [(client.node_key(), client.addresses()) for client in pair] == before
    listed = subprocess.run(
        [str(PROGRAM), "-c", str(quick.folder / "config.yaml"), "nodes", "list"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert listed.returncode == 0, listed.stderr
    assert all(client.name in listed.stdout for client in pair)


def test_the_demo_shows_two_clients_and_leaves_nothing(interop_ready: None, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.demo"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "laptop is Running" in done.stdout
    assert re.search(r"answered by 100\.64\.\d+\.\d+ via ", done.stdout)
    assert list(tmp_path.iterdir()) == []
