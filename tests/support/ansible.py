"""Ansible in an environment of its own, kept outside the tree beside the stock clients.

``$XDG_CACHE_HOME/coordinator/ansible/<version>/`` (default ``~/.cache``). Only the version of ansible-core
is fixed; it is a tool of the tests and never part of what is installed.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support import clients

VERSION = "2.18.19"
_BUILD_TIMEOUT_S = 300


class AnsibleError(AssertionError):
    """A playbook failed, or Ansible could not be installed; the text has its output."""


def ensure() -> Path:
    """The folder with `ansible-playbook`, installed now if it is not there.

    Raises:
        AnsibleError: pip failed.
    """
    base = clients.cache_dir().with_name("ansible")
    base.mkdir(parents=True, exist_ok=True)
    folder = base / VERSION
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(folder)], timeout=_BUILD_TIMEOUT_S)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
            _run([*pip, "install", f"ansible-core=={VERSION}"], timeout=_BUILD_TIMEOUT_S)
            (folder / ".installed").touch()
    return folder / "bin"


def play(
    playbook: Path, inventory: Path, *options: str, path: Path, folder: Path, timeout: float
) -> dict[str, dict[str, int]]:
    """Run a playbook.

    Args:
        path: a folder with commands for the hosts of `ansible_connection=local`.
        folder: where Ansible may keep its own files.
        timeout: seconds for all of it.
    Returns:
        Ansible's recap: by host `ok`, `changed`, `skipped` and so on.
    Raises:
        AnsibleError: it failed on a host.
    """
    binaries = ensure()
    environment = {
        **os.environ,
        "PATH": f"{path}:{binaries}:{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_HOME": str(folder),
        "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_NOCOLOR": "true",
        # Ansible refuses any other.
        "LC_ALL": "C.UTF-8",
    }
    command = [str(binaries / "ansible-playbook"), "-i", str(inventory), str(playbook), *options]
    printed = _run(command, timeout=timeout, env=environment)
    print(printed)
    return _recap(printed)


def _recap(printed: str) -> dict[str, dict[str, int]]:
    _, found, table = printed.partition("PLAY RECAP")
    assert found, printed
    hosts = {}
    for line in table.splitlines()[1:]:
        host, colon, counts = line.partition(" : ")
        if colon:
            pairs = (field.split("=") for field in counts.split())
            hosts[host.strip()] = {name: int(value) for name, value in pairs}
    return hosts


def _run(command: list[str], *, timeout: float, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=env,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise AnsibleError(f"`{' '.join(command)}` failed:\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    print(f"ansible: {ensure()}")
