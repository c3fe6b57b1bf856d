"""Traffic through a tunnel between two lab clients: TCP both ways, and DNS questions to the client itself."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import tunnel_probe
from tests.support.stock_client import StockClient

_PROBE = (sys.executable, str(tunnel_probe.__file__))
MAGIC_DNS = "100.100.100.100"


@contextmanager
def echo_server(client: StockClient, port: int = 9000) -> Iterator[None]:
    """A TCP echo service on the client's own tailnet address."""
    process = client.spawn(*_PROBE, "serve", client.ipv4, str(port))
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.strip() == "ready", f"the echo service on {client.name} did not start: {line}"
        yield
    finally:
        process.kill()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


def tcp_echo(client: StockClient, address: str, *, port: int = 9000, size: int = 1_000_000) -> None:
    """Send bytes to an echo service and take the same back.

    Raises:
        AssertionError: it did not work; the text says what the probe said.
    """
    done = _echo(client, address, port, size, timeout=10)
    assert done.returncode == 0, f"TCP from {client.name} to {address}:{port}: {done.stderr.strip()}"


def tcp_is_blocked(client: StockClient, address: str, *, port: int = 9000) -> bool:
    """Whether no TCP connection comes about within 1.5 s."""
    return _echo(client, address, port, 10, timeout=1.5).returncode != 0


@contextmanager
def held_connection(
    client: StockClient, address: str, *, port: int = 9000, timeout: float = 1.0
) -> Iterator[subprocess.Popen[str]]:
    """A connection in use; the process ends with code 1 once nothing comes back for `timeout` seconds."""
    process = client.spawn(*_PROBE, "hold", address, str(port), str(timeout))
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.strip() == "connected", f"no connection from {client.name} to {address}:{port}: {line}"
        yield process
    finally:
        process.kill()
        process.communicate()


def resolve(client: StockClient, name: str, *, ipv6: bool = False) -> list[str]:
    """Ask the client's own resolver for A or AAAA; addresses, or one text `rcode N`."""
    done = client.run(*_PROBE, "resolve", MAGIC_DNS, name, "28" if ipv6 else "1")
    assert done.returncode == 0, f"no answer about `{name}` on {client.name}: {done.stderr.strip()}"
    return done.stdout.split("\n")[:-1] if "rcode" in done.stdout else done.stdout.split()


def _echo(
    client: StockClient, address: str, port: int, size: int, *, timeout: float
) -> subprocess.CompletedProcess[str]:
    return client.run(*_PROBE, "echo", address, str(port), str(size), str(timeout), timeout=60)
