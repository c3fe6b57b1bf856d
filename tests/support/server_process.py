"""The server under test as its users run it: one process, one configuration file, and its command line.

Made by `tests.support.lab.Lab.server`. It knows nothing of the server's insides; everything goes through
files, signals, HTTP and `.venv/bin/coordinator`.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.child_process import ChildProcess
from tests.support.waiting import eventually

PROGRAM = Path(sys.executable).with_name("coordinator")
DOMAIN = "lab.internal"
ALLOW_ALL: dict[str, Any] = {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}


class CommandFailedError(AssertionError):
    """A `coordinator` command ended with an error; the text has what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where one server listens.

    The defaults suit an address of its own, and are not the ones a developer's server has on all addresses.
    """

    http: int = 18080
    relay_tls: int = 13443
    stun: int = 13478


class Server:
    """One coordinator process with its data in one folder."""

    def __init__(
        self,
        *,
        folder: Path,
        address: str,
        ports: Ports | None = None,
        policy: Mapping[str, Any] | None = None,
        policy_mode: str = "file",
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """Write the configuration.

        Args:
            folder: exists; everything the server keeps goes here.
            address: IP address to listen on, and the host of its URL.
            policy: first content of the policy file; only for `policy_mode` "file".
            overrides: more settings, merged into the sections of the configuration.
            prefix: in front of the command, for a server that runs in a namespace.
        """
        self.folder = folder
        self._prefix = prefix
        self.address = address
        self.ports = ports or Ports()
        self.url = f"http://{address}:{self.ports.http}"
        self.config_path = folder / "config.yaml"
        self.policy_path = folder / "acls.hujson"
        self.socket_path = folder / "sock"
        if policy_mode == "file":
            self.write_policy(policy if policy is not None else ALLOW_ALL)
        settings = self._settings(policy_mode)
        for section, values in (overrides or {}).items():
            settings[section] = settings.get(section, {}) | dict(values)
        self.config_path.write_text(yaml.safe_dump(settings, sort_keys=False))
        self.program: tuple[str, ...] = (str(PROGRAM),)
        """What `start` runs; a test may put another program with the same arguments here."""
        self._process = ChildProcess(name="coordinator", log_path=folder / "server.log")

    def _settings(self, policy_mode: str) -> dict[str, Any]:
        path, address, ports = self.folder, self.address, self.ports
        policy = {"mode": policy_mode} | ({"path": str(self.policy_path)} if policy_mode == "file" else {})
        return {
            "server_url": self.url,
            "listen_addr": f"{address}:{ports.http}",
            "noise": {"private_key_path": str(path / "noise.key")},
            "prefixes": {"v4": "100.64.0.0/10", "v6": "fd7a:115c:a1e0::/48"},
            "derp": {
                "server": {
                    "enabled": True,
                    "region_id": 999,
                    "region_code": "lab",
                    "region_name": "Lab relay",
                    "ipv4": address,
                    "private_key_path": str(path / "derp.key"),
                    "stun_listen_addr": f"{address}:{ports.stun}",
                    "tls_listen_addr": f"{address}:{ports.relay_tls}",
                    "tls_cert_path": str(path / "derp.crt"),
                    "tls_key_path": str(path / "derp.crt.key"),
                },
                "urls": [],
            },
            "database": {"type": "sqlite", "sqlite": {"path": str(path / "db.sqlite")}},
            "policy": policy,
            "dns": {
                "magic_dns": True,
                "base_domain": DOMAIN,
                "override_local_dns": False,
                "nameservers": {"global": []},
            },
            "unix_socket": str(self.socket_path),
            "unix_socket_permission": "0770",
            "log": {"level": "debug", "format": "text"},
        }

    # ---- the process ------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.running

    def start(self, *, wait: bool = True) -> None:
        """Start it and, unless told otherwise, wait until it answers."""
        # Warnings that asyncio or aiohttp raise about our code shall be seen in the log.
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        command = [*self._prefix, *self.program, "serve", "-c", str(self.config_path)]
        self._process.start(command, env=environment)
        if wait:
            self.wait_ready()

    def wait_ready(self, *, within: float = 20) -> None:
        """Wait until it answers on both doors: `/health` for the world, the unix socket for commands."""

        def probe() -> bool:
            if not self._process.running:
                code = self._process.exit_code
                raise AssertionError(f"the server ended with {code}:\n{self._process.log_tail()}")
            return self.socket_path.is_socket() and self.healthy()

        eventually(probe, "the server to answer", within=within, every=0.02)

    def healthy(self) -> bool:
        """One request for `/health`."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        return self._process.stop(timeout=15)

    def kill9(self) -> None:
        """SIGKILL: no chance to save anything."""
        self._process.kill()

    def hang_up(self) -> None:
        """SIGHUP: read the policy file again."""
        self._process.send(signal.SIGHUP)

    def restart_in_place(self) -> None:
        """SIGUSR2: a planned restart that keeps the listening sockets."""
        self._process.send(signal.SIGUSR2)

    def log_text(self) -> str:
        """What it printed so far, over all its starts."""
        return self._process.log_text()

    def log_tail(self, lines: int = 60) -> str:
        """The last lines it printed."""
        return self._process.log_tail(lines)

    # ---- the policy file --------------------------------------------------------------------------------

    def write_policy(self, policy: Mapping[str, Any] | str) -> None:
        """Replace the policy file, in one step as an editor does."""
        text = policy if isinstance(policy, str) else json.dumps(policy, indent=2)
        scratch = self.policy_path.with_suffix(".new")
        scratch.write_text(text)
        scratch.replace(self.policy_path)

    # ---- the command line ---------------------------------------------------------------------------------

    def run(self, *arguments: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run `coordinator` with this server's configuration; never raises for its exit code."""
        command = [str(PROGRAM), "-c", str(self.config_path), *arguments]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        )

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Begin a command and do not wait for it; its output goes nowhere."""
        command = [str(PROGRAM), "-c", str(self.config_path), *arguments]
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere)

    def cli(self, *arguments: str) -> Any:
        """Run a command with `-o json` and return what it printed, parsed.

        Raises:
            CommandFailedError: the exit code was not 0.
        """
        done = self.run(*arguments, "-o", "json")
        if done.returncode != 0:
            raise CommandFailedError(
                f"`coordinator {' '.join(arguments)}`: {done.stderr.strip() or done.stdout}"
            )
        return json.loads(done.stdout) if done.stdout.strip() else None

    def create_user(self, name: str) -> dict[str, Any]:
        """`users create`."""
        created: dict[str, Any] = self.cli("users", "create", name)
        return created

    def create_key(
        self,
        user: str | None = None,
        *,
        reusable: bool = False,
        ephemeral: bool = False,
        expiration: str = "1h",
        tags: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """`preauthkeys create`; the secret is under `key`."""
        arguments = ["preauthkeys", "create", "--expiration", expiration]
        if user is not None:
            arguments += ["--user", user]
        if reusable:
            arguments.append("--reusable")
        if ephemeral:
            arguments.append("--ephemeral")
        if tags:
            arguments += ["--tags", ",".join(tags)]
        created: dict[str, Any] = self.cli(*arguments)
        return created

    def nodes(self) -> list[dict[str, Any]]:
        """`nodes list`."""
        listed: list[dict[str, Any]] = self.cli("nodes", "list") or []
        return listed

    def node(self, name: str) -> dict[str, Any]:
        """The one node with this host name; raises AssertionError when there is none, or more."""
        found = [node for node in self.nodes() if node["name"] == name]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} nodes are called `{name}`, not one")
        return found[0]
