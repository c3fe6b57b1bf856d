"""A server under measurement: ours, or the peer named by PEER_HEADSCALE, with the same configuration."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.support.ports import free_port

_TICKS = os.sysconf("SC_CLK_TCK")
OURS = "coordinator"
START_SECONDS = 30

_CONFIG = """\
server_url: http://127.0.0.1:{port}
listen_addr: 127.0.0.1:{port}
metrics_listen_addr: 127.0.0.1:{metrics}
noise: {{private_key_path: {dir}/noise.key}}
prefixes: {{v4: 100.64.0.0/10, v6: "fd7a:115c:a1e0::/48", allocation: sequential}}
derp:
  server: {{enabled: false}}
  urls: []
  paths: [{dir}/derp.yaml]
database: {{type: sqlite, sqlite: {{path: {dir}/db.sqlite, write_ahead_log: true}}}}
policy: {{mode: database}}
dns: {{magic_dns: true, base_domain: bench.internal, override_local_dns: false, nameservers: {{global: []}}}}
unix_socket: {dir}/s.sock
unix_socket_permission: "0770"
log: {{level: warn}}
"""
_DERP = """\
regions:
  900:
    regionid: 900
    regioncode: bench
    regionname: Bench
    nodes: [{name: 900a, regionid: 900, hostname: 127.0.0.1, ipv4: 127.0.0.1, stunport: -1}]
"""


@dataclass
class Usage:
    """What a process has used so far: CPU seconds; its resident memory now and at most, in MiB."""

    cpu: float
    resident: float
    peak: float


class MeasuredServer:
    """A running server process on loopback."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._command = command
        self._directory = Path(tempfile.mkdtemp(prefix="coordinator-bench-"))
        self.config = self._directory / "config.yaml"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start and wait until it answers."""
        self.config.write_text(_CONFIG.format(port=self.port, metrics=free_port(), dir=self._directory))
        (self._directory / "derp.yaml").write_text(_DERP)
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command, "serve", "-c", str(self.config)], stdout=log, stderr=log
            )
        async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{self.url}/health") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
                if self._process.poll() is not None:
                    raise RuntimeError(f"{self.name} did not start:\n{(self._directory / 'log').read_text()}")

    async def cli(self, *arguments: str) -> object:
        """A command of the server's own command line, in JSON."""
        process = await asyncio.create_subprocess_exec(
            *self._command, "-c", str(self.config), *arguments, "-o", "json",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{self.name} {arguments}: {err.decode()}")
        return json.loads(out) if out.strip().startswith((b"{", b"[", b'"')) else out.decode()

    async def set_policy(self, policy: dict[str, object]) -> None:
        """Put a policy in force."""
        path = self._directory / "policy.hujson"
        path.write_text(json.dumps(policy))
        await self.cli("policy", "set", "-f", str(path))

    async def auth_key(self, *more: str) -> str:
        """A reusable pre-auth key."""
        answer = await self.cli("preauthkeys", "create", "--reusable", "-e", "24h", *more)
        assert isinstance(answer, dict)
        return str(answer["key"])

    def usage(self) -> Usage:
        """CPU and memory so far, of the process itself."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        memory = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if line[:2] == "Vm"}
        cpu = (int(fields[11]) + int(fields[12])) / _TICKS
        return Usage(cpu, int(memory["VmRSS"]) / 1024, int(memory["VmHWM"]) / 1024)

    def stop(self) -> None:
        """End the process and remove its files."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


def servers() -> list[MeasuredServer]:
    """Ours, and the peer where PEER_HEADSCALE names its binary."""
    found = [MeasuredServer(OURS, [sys.executable, "-m", "coordinator"])]
    peer = os.environ.get("PEER_HEADSCALE")
    if peer:
        found.append(MeasuredServer("headscale", [peer]))
    return found
