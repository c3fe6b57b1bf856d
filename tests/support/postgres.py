"""A throw-away PostgreSQL cluster: started once a session, a fresh database for each test that asks."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from coordinator.store.engine import postgres_url
from tests.support.prerequisites import require

USER = "tester"
START_SECONDS = 30


@dataclass(frozen=True)
class Cluster:
    """A running cluster, on loopback and on a socket in `directory`."""

    port: int
    directory: Path
    psql: str
    pid: int

    def create_database(self, name: str) -> None:
        self.run(f'CREATE DATABASE "{name}"')

    def drop_database(self, name: str) -> None:
        self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def run(self, sql: str, database: str = "postgres") -> str:
        """Run a statement; what it gives, a line a row, the columns separated by `|`."""
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database]
        done = subprocess.run([self.psql, "-qXAt", *place, "-c", sql], check=True, capture_output=True)
        return done.stdout.decode()

    def processes(self) -> list[int]:
        """The server and its children, one for each connection and task."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def signal(self, number: int) -> None:
        """Send a signal to all of them: SIGSTOP makes a database that hangs, SIGCONT heals it."""
        for pid in self.processes():
            os.kill(pid, number)

    def url(self, name: str):  # type: ignore[no-untyped-def]
        return postgres_url("127.0.0.1", self.port, name, USER)


def find_binary(name: str) -> str | None:
    """A server binary from PATH or from Debian's versioned directories."""
    found = shutil.which(name)
    if found:
        return found
    candidates = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(candidates[-1]) if candidates else None


def find_binaries() -> dict[str, str]:
    """The binaries a cluster needs, or a loud skip (a failure where everything is required)."""
    binaries = {name: find_binary(name) for name in ("initdb", "postgres", "psql")}
    missing = [f"no {name}" for name, path in binaries.items() if path is None]
    require(missing, "tests with PostgreSQL")
    return {name: path for name, path in binaries.items() if path is not None}


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start a cluster in a temporary directory and stop it again."""
    binaries = find_binaries()
    directory = Path(tempfile.mkdtemp(prefix="coordinator-pg-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    prefix = _as_unprivileged(directory)
    data = directory / "data"
    try:
        subprocess.run(
            [
                *prefix,
                binaries["initdb"],
                "-D",
                str(data),
                "-U",
                USER,
                "--auth=trust",
                "-E",
                "UTF8",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=directory,
        )
        where = ["-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(directory)]
        tuning = ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=60"]
        command = [*prefix, binaries["postgres"], *where, *tuning]
        log = directory / "server.log"
        # A file, not a pipe: nobody reads while the tests run, and a full pipe would stop the server.
        with log.open("wb") as output:
            server = subprocess.Popen(command, cwd=directory, stdout=output, stderr=subprocess.STDOUT)
        try:
            cluster = Cluster(port, directory, binaries["psql"], server.pid)
            _wait_until_up(cluster, server, log)
            yield cluster
        finally:
            # SIGINT ends sessions that a failed test left open; SIGTERM would wait for them.
            server.send_signal(signal.SIGINT)
            try:
                server.wait(timeout=START_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _as_unprivileged(directory: Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        account = pwd.getpwnam("nobody")
    os.chown(directory, account.pw_uid, account.pw_gid)
    ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}"]
    return ["setpriv", *ids, "--clear-groups"]


def _wait_until_up(cluster: Cluster, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            cluster.run("SELECT 1")
        except subprocess.CalledProcessError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                reason = f"{error.stderr.decode()}\n{log.read_text(errors='replace')}"
                raise AssertionError(f"PostgreSQL did not start: {reason}") from error
            time.sleep(0.05)
        else:
            return
