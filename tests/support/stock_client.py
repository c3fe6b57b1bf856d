"""One stock Tailscale client: its daemon, its command line, and its local API.

Made by `tests.support.lab.Lab.client`. Commands a person would type go through the real command line; the
state of the daemon is polled through its socket (what `tailscale status --json` asks), because starting a
Go program of 30 MB every 50 ms would measure that program.
"""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.child_process import ChildProcess
from tests.support.clients import ClientBinaries
from tests.support.underlay import Host
from tests.support.waiting import eventually

# The first release whose daemon knows --encrypt-state.
_ENCRYPT_STATE_SINCE = (1, 86, 0)

_ENVIRONMENT = {
    "TS_NO_LOGS_NO_SUPPORT": "true",
    "TS_DISABLE_PORTMAPPER": "1",
    # A lab client that turns to the official service is a bug of ours: crash visibly.
    "TS_PANIC_IF_HIT_MAIN_CONTROL": "1",
    "TS_DEBUG_FIREWALL_MODE": "nftables",
    # Namespaces share the host's D-Bus, and nobody shall reconfigure the host's resolver.
    "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent",
}

_PONG = re.compile(r"^pong from (?P<name>\S+) \((?P<address>\S+)\) via (?P<via>\S+) in (?P<time>\S+)", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """One line of `tailscale ping`."""

    address: str
    via: str

    @property
    def relayed(self) -> bool:
        """Whether it came through a DERP relay."""
        return self.via.startswith("DERP(")


class _LocalConnection(http.client.HTTPConnection):
    """HTTP over the daemon's unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("local-tailscaled.sock", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(str(self._path))


class StockClient:
    """A tailscaled of one version on one host of the lab."""

    def __init__(self, *, host: Host, binaries: ClientBinaries, login_server: str) -> None:
        self.host = host
        self.name = host.name
        self.binaries = binaries
        self.version = binaries.version
        self.login_server = login_server
        self.folder = host.folder
        self._socket = self.folder / "s"
        self._daemon = ChildProcess(name=f"{self.name} ({self.version})", log_path=self.folder / "log")
        self._extra_environment: dict[str, str] = {}
        self._in_memory = False

    # ---- the daemon ---------------------------------------------------------------------------------

    def start(self, *, env: Mapping[str, str] | None = None, in_memory: bool | None = None) -> None:
        """Start the daemon and wait until its socket answers.

        Args:
            env: more environment; stays in force for later starts, until given anew.
            in_memory: keep no state on disk, which makes the node ephemeral.
        """
        if env is not None:
            self._extra_environment = dict(env)
        if in_memory is not None:
            self._in_memory = in_memory
        state_folder = self.folder / "state"
        state_folder.mkdir(exist_ok=True)
        command = [
            *self.host.prefix,
            str(self.binaries.tailscaled),
            f"--tun={'tailscale0' if self.host.has_tun else 'userspace-networking'}",
            f"--statedir={state_folder}",
            f"--socket={self._socket}",
            "--port=0",
            "--no-logs-no-support",
        ]
        if self._in_memory:
            command.append("--state=mem:")
        if self.binaries.release >= _ENCRYPT_STATE_SINCE:
            command.append("--encrypt-state=false")
        self._daemon.start(command, env=self._environment(), cwd=self.folder)
        eventually(self._answers, f"{self.name}'s local API", within=15)

    def stop(self) -> None:
        """SIGTERM, as a service manager does; an in-memory client logs itself out."""
        self._daemon.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self._daemon.kill()

    def log_text(self) -> str:
        """What the daemon printed so far."""
        return self._daemon.log_text()

    def log_tail(self, lines: int = 40) -> str:
        """The last lines the daemon printed."""
        return self._daemon.log_tail(lines)

    # ---- the command line -----------------------------------------------------------------------------

    def tailscale(self, *arguments: str, timeout: float = 60, check: bool = True) -> str:
        """Run the stock command line against this daemon.

        Returns:
            Standard output and standard error together, as a person sees them.
        Raises:
            AssertionError: it failed and `check` is set; the text has its output.
        """
        done = self.run(str(self.binaries.tailscale), f"--socket={self._socket}", *arguments, timeout=timeout)
        output = done.stdout + done.stderr
        if check and done.returncode != 0:
            command = f"tailscale {' '.join(arguments)}"
            raise AssertionError(f"`{command}` on {self.name} ended with {done.returncode}: {output.strip()}")
        return output

    def up(
        self,
        auth_key: str | None = None,
        *extra: str,
        hostname: str | None = None,
        accept_dns: bool = False,
        timeout: int = 30,
    ) -> str:
        """`tailscale up` against the lab's server; raises AssertionError when it fails."""
        arguments = self._up(auth_key, extra, hostname or self.name, accept_dns, timeout)
        return self.tailscale(*arguments, timeout=timeout + 15)

    def up_refused(self, auth_key: str | None, *extra: str) -> str:
        """`tailscale up` that is expected to fail; returns what it said."""
        arguments = self._up(auth_key, extra, self.name, False, 10)
        done = self.run(str(self.binaries.tailscale), f"--socket={self._socket}", *arguments, timeout=30)
        if done.returncode == 0:
            raise AssertionError(f"`tailscale up` on {self.name} was expected to fail, and succeeded")
        return done.stdout + done.stderr

    def spawn_up(self, *extra: str) -> subprocess.Popen[str]:
        """`tailscale up` without a key, in the background: it waits until somebody lets the machine in."""
        arguments = self._up(None, extra, self.name, False, 60)
        return self.spawn(str(self.binaries.tailscale), f"--socket={self._socket}", *arguments)

    def login_interactive(self) -> None:
        """What the menu entry "Reauthenticate" of the graphical clients does."""
        connection = _LocalConnection(self._socket)
        try:
            connection.request("POST", "/localapi/v0/login-interactive")
            status = connection.getresponse().status
        finally:
            connection.close()
        if status != 204:
            raise AssertionError(f"{self.name} did not begin a login: {status}")

    def logout(self) -> None:
        """`tailscale logout`."""
        self.tailscale("logout")

    def netmap_text(self) -> str:
        """`tailscale debug netmap`: everything the server ever told this client about others."""
        return self.tailscale("debug", "netmap")

    def ping(self, target: str, *, until_direct: bool = True, tries: int = 5) -> Pong:
        """`tailscale ping`: the first answer, or the first over a direct path.

        A client that has just found its relay may drop its connection once more, so one lost ping is normal.

        Raises:
            AssertionError: no answer, or none over a direct path when `until_direct` is set.
        """
        count = tries if until_direct else 1
        output = ""
        for _ in range(1 if until_direct else tries):
            flags = (f"--c={count}", f"--until-direct={str(until_direct).lower()}", "--timeout=2s")
            output = self.tailscale("ping", *flags, target, timeout=count * 3 + 10, check=False)
            pongs = list(_PONG.finditer(output))
            if pongs:
                break
        else:
            raise AssertionError(f"no answer to `tailscale ping {target}` on {self.name}: {output.strip()}")
        pong = Pong(address=pongs[-1]["address"], via=pongs[-1]["via"])
        if until_direct and pong.relayed:
            raise AssertionError(f"no direct path from {self.name} to {target}: {output.strip()}")
        return pong

    # ---- the host it runs on --------------------------------------------------------------------------

    def run(
        self, *command: str, timeout: float = 30, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run any command where this client runs; never raises for its exit code."""
        return subprocess.run(
            [*self.host.prefix, *command],
            env=self._environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def spawn(self, *command: str) -> subprocess.Popen[str]:
        """Start any command where this client runs; the caller ends it."""
        return subprocess.Popen(
            [*self.host.prefix, *command],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def set_link(self, *, up: bool) -> None:
        """Pull the cable of this host, or put it back (its default route too, which the kernel forgets)."""
        done = self.run("ip", "link", "set", "eth0", "up" if up else "down")
        if up and done.returncode == 0:
            done = self.run("ip", "route", "replace", "default", "via", self.host.gateway)
        if done.returncode != 0:
            raise AssertionError(f"cannot change the link of {self.name}: {done.stderr.strip()}")

    def answers_icmp(self, address: str, *, wait_s: int = 1) -> bool:
        """Whether one kernel ping through the tunnel is answered."""
        return self.run("ping", "-n", "-c", "1", "-W", str(wait_s), address).returncode == 0

    # ---- what the daemon knows ------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The document `tailscale status --json` prints.

        Raises:
            OSError: the daemon does not answer.
        """
        connection = _LocalConnection(self._socket)
        try:
            connection.request("GET", "/localapi/v0/status")
            response = connection.getresponse()
            document: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        return document

    def state(self) -> str:
        """BackendState: Running, NeedsLogin, Starting ..."""
        return str(self.status()["BackendState"])

    def peers(self) -> dict[str, dict[str, Any]]:
        """Peers by host name."""
        return {peer["HostName"]: peer for peer in (self.status().get("Peer") or {}).values()}

    def addresses(self) -> list[str]:
        """Own tailnet addresses, IPv4 first."""
        found = self.status()["Self"].get("TailscaleIPs") or []
        return sorted(found, key=lambda text: ":" in text)

    @property
    def ipv4(self) -> str:
        """Own IPv4 address in the tailnet."""
        return self.addresses()[0]

    def node_key(self) -> str:
        """Own public node key, `nodekey:<hex>`."""
        return str(self.status()["Self"]["PublicKey"])

    def wait_state(self, wanted: str, *, within: float = 15) -> None:
        """Wait for a BackendState."""
        last: list[str] = [""]

        def probe() -> bool:
            last[0] = self.state()
            return last[0] == wanted

        eventually(probe, f"{self.name} to be {wanted}", within=within)

    def wait_peers(self, *names: str, within: float = 10, every: float = 0.05) -> None:
        """Wait until exactly these peers are in the netmap."""
        wanted = set(names)
        eventually(
            lambda: set(self.peers()) == wanted,
            f"{self.name} to see exactly {sorted(wanted)}",
            within=within,
            every=every,
        )

    def wait_online(self, name: str, online: bool = True, *, within: float = 10) -> None:
        """Wait until a peer is shown online, or offline."""

        def probe() -> bool:
            peer = self.peers().get(name)
            return peer is not None and bool(peer.get("Online")) is online

        eventually(probe, f"{self.name} to see {name} {'online' if online else 'offline'}", within=within)

    # ---- inside -----------------------------------------------------------------------------------------

    def _up(
        self, auth_key: str | None, extra: tuple[str, ...], hostname: str, accept_dns: bool, timeout: int
    ) -> list[str]:
        arguments = [
            "up",
            f"--login-server={self.login_server}",
            f"--hostname={hostname}",
            f"--accept-dns={str(accept_dns).lower()}",
            f"--timeout={timeout}s",
        ]
        if auth_key is not None:
            arguments.append(f"--auth-key={auth_key}")
        return [*arguments, *extra]

    def _environment(self) -> dict[str, str]:
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
        environment = {"PATH": path, "HOME": str(self.folder), "LANG": "C.UTF-8", **_ENVIRONMENT}
        return environment | self._extra_environment

    def _answers(self) -> bool:
        if not self._daemon.running:
            raise AssertionError(f"{self.name}'s tailscaled ended at once:\n{self._daemon.log_tail(20)}")
        try:
            self.status()
        except OSError:
            return False
        return True


def remove_state(client: StockClient) -> None:
    """Forget everything the daemon kept on disk, as a new machine; it must not be running."""
    shutil.rmtree(client.folder / "state", ignore_errors=True)
