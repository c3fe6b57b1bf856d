"""A child process with its log in a file, which cannot outlive the tests.

Both the server and the clients are started through this, by pid and only by pid.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    # Linux only, and kept through exec: a killed test run leaves no daemon behind.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class ChildProcess:
    """One program; it may be started again after it ended, and goes on with the same log file."""

    def __init__(self, *, name: str, log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running child.

        Raises:
            RuntimeError: it is not running.
        """
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """As `subprocess.Popen.returncode`; None while it runs or before it was started."""
        return None if self._process is None else self._process.poll()

    def start(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches only us and we stop things in order."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                list(command),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def send(self, signal_number: int) -> None:
        """Send a signal to the child itself, not to its group."""
        os.kill(self.pid, signal_number)

    def stop(self, *, timeout: float = 10.0) -> int:
        """SIGTERM, then SIGKILL when it does not end in time.

        Returns:
            The exit code; negative for a signal. 0 when it was never started.
        """
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.terminate()
            try:
                return self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                return self.kill()
        return self._process.returncode

    def kill(self) -> int:
        """SIGKILL, and wait until it is gone."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait(10)

    def log_text(self) -> str:
        """Everything it has printed so far, over all its starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines: int = 60) -> str:
        """The last lines it printed."""
        return "\n".join(self.log_text().splitlines()[-lines:])
