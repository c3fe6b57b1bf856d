"""The program as a whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

from coordinator.cli.main import app
from tests.coordinator.cli.conftest import CommandLine


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "coordinator", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )


async def test_health(cli: CommandLine) -> None:
    assert await cli.json("health") == {"databaseConnectivity": True}


def test_version_needs_no_configuration() -> None:
    done = run("version", "-o", "json")
    assert json.loads(done.stdout)["version"]


def test_no_server_is_said_plainly(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "server_url: http://127.0.0.1:1\nunix_socket: gone.sock\ncli: {timeout: 200ms}\n"
        "dns: {magic_dns: false, override_local_dns: false}\n"
    )
    done = run("nodes", "list", "-c", str(config))
    assert done.returncode == 1
    assert "no server is listening on" in done.stderr
    assert "gone.sock" in done.stderr


def test_a_mistyped_command_is_named_with_its_neighbour() -> None:
    done = run("nodez", "list")
    assert done.returncode == 2
    assert "nodes" in done.stderr


def test_a_private_key() -> None:
    assert run("generate", "private-key").stdout.startswith("privkey:")


def test_client_commands_do_not_load_the_server() -> None:
    """Start-up time: the server's libraries are not imported for a question to a running server."""
    program = (
        "import sys; import coordinator.cli.main; "
        "print([name for name in ('aiohttp', 'sqlalchemy', 'h2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_configtest(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    good = "server_url: http://10.0.0.1:8080\ndns: {base_domain: a.b, override_local_dns: false}\n"
    config.write_text(good + "derp: {server: {enabled: true}}\n")
    assert run("configtest", "-c", str(config)).returncode == 0
    config.write_text(good + "policy: {path: missing.hujson}\nlog: {level: loud}\n")
    assert "loud" in run("configtest", "-c", str(config)).stderr
    config.write_text(good + "policy: {path: missing.hujson}\ntls_cert_path: a\ntls_key_path: b\n")
    shown = run("configtest", "-c", str(config)).stderr
    for words in ("policy.path", "no DERP region", "tls_cert_path"):
        assert words in shown


def test_every_command_has_help() -> None:
    """The texts are markup to what prints them: a bracket at the wrong place ends the program."""
    runner, waiting, seen = CliRunner(), [([], get_command(app))], 0
    while waiting:
        path, command = waiting.pop()
        answer = runner.invoke(app, [*path, "--help"])
        assert (answer.exit_code, answer.exception) == (0, None), path
        assert "usage:" in answer.output.lower()
        waiting += [([*path, name], each) for name, each in getattr(command, "commands", {}).items()]
        seen += 1
    assert seen > 50
