"""The network below the tailnet: where a lab's server and clients find each other.

Two kinds. `Bridge` (root): a Linux bridge with one network namespace per client, without any way to the
internet. `Loopback` (nobody special): everything on 127.0.0.1, for clients in userspace mode.

Several bridges can exist at once: each lab claims one third octet of 10.97.0.0/16 by a lock on a file, which
the kernel gives back when the process dies, however it dies. Whoever claims a number next first removes what
an earlier, killed owner left under it.
"""

import fcntl
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

# RFC 1918 on purpose: for such a literal address the client has no second, port-443 way to the server, and
# redials the same port after a restart. Source: tailscale control/controlhttp/client.go, measured.
_NETWORK = "10.97"
_LOCK_DIR = Path("/run/coordinator-lab")
_FIRST_HOST = 11
_LAST_HOST = 250

# The client's own /etc: links to the host's files, and a resolv.conf that tailscaled may replace.
_ENTER = 'dir=$1; shift; mount --bind /etc "$dir/etc.host" && mount --bind "$dir/etc" /etc && exec "$@"'


class UnderlayError(Exception):
    """A network could not be set up; the text quotes the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A place to run a client: commands get `prefix` in front."""

    name: str
    folder: Path
    address: str
    gateway: str
    prefix: tuple[str, ...]
    has_tun: bool


class Underlay(Protocol):
    """What a lab needs of its network."""

    def server_address(self) -> str:
        """An address for one more server."""

    def add_host(self, name: str, folder: Path) -> Host:
        """A place for one more client; `folder` exists and is empty."""

    def close(self) -> None:
        """Remove everything. Safe to call twice."""


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise UnderlayError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout


class Bridge:
    """Network namespaces on a bridge; needs root."""

    def __init__(self) -> None:
        self.number, self._lock = _claim_number()
        self.name = f"clab{self.number}"
        self._servers = 0
        self._hosts = 0
        self._open = True
        self._remove_all()
        # Without an address of its own a bridge takes the lowest of its ports': one more host, and the others
        # look for the server at an address it no longer has, for many seconds.
        mac = f"02:97:00:00:00:{self.number:02x}"
        _run("ip", "link", "add", self.name, "address", mac, "type", "bridge")
        _run("ip", "link", "set", self.name, "up")

    def server_address(self) -> str:
        """The bridge's own side: 10.97.<n>.1, then .2 and so on for further servers."""
        self._servers += 1
        if self._servers >= _FIRST_HOST:
            raise UnderlayError("too many servers for one lab")
        address = f"{_NETWORK}.{self.number}.{self._servers}"
        _run("ip", "address", "add", f"{address}/24", "dev", self.name)
        return address

    def add_host(self, name: str, folder: Path) -> Host:
        """A namespace with one interface on the bridge and a default route that leads nowhere further."""
        octet = _FIRST_HOST + self._hosts
        if octet > _LAST_HOST:
            raise UnderlayError("too many clients for one lab")
        self._hosts += 1
        namespace, outside = f"{self.name}-{name}", f"{self.name}v{octet}"
        address = f"{_NETWORK}.{self.number}.{octet}"
        gateway = f"{_NETWORK}.{self.number}.1"
        _run("ip", "netns", "add", namespace)
        _run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _run("ip", "link", "set", outside, "master", self.name, "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("link", "set", "eth0", "up"),
            ("address", "add", f"{address}/24", "dev", "eth0"),
            # A default route makes netcheck see an interface that is worth using.
            ("route", "add", "default", "via", gateway),
        ):
            _run("ip", "-n", namespace, *command)
        _write_private_etc(folder, nameserver=gateway)
        prefix = ("ip", "netns", "exec", namespace, "sh", "-c", _ENTER, "enter", str(folder))
        return Host(name=name, folder=folder, address=address, gateway=gateway, prefix=prefix, has_tun=True)

    def close(self) -> None:
        """Delete namespaces, bridge and addresses, and give the number back."""
        if self._open:
            self._open = False
            self._remove_all()
            self._lock.close()

    def _remove_all(self) -> None:
        for line in _run("ip", "netns", "list").splitlines():
            namespace = line.split()[0]
            if namespace.startswith(f"{self.name}-"):
                for pid in _run("ip", "netns", "pids", namespace).split():
                    _kill(int(pid))
                _run("ip", "netns", "delete", namespace)
        # A deleted namespace takes its interfaces along, but only later; their names are wanted now.
        for link in self._links():
            try:
                _run("ip", "link", "delete", link)
            except UnderlayError:
                # It went with its namespace between the two commands.
                if link in self._links():
                    raise

    def _links(self) -> list[str]:
        names = [line.split()[0].split("@")[0] for line in _run("ip", "-brief", "link", "show").splitlines()]
        return [name for name in names if name == self.name or name.startswith(f"{self.name}v")]


class Loopback:
    """Everything on 127.0.0.1, told apart by port and by folder."""

    def server_address(self) -> str:
        """Always the same; servers differ by their ports."""
        return "127.0.0.1"

    def add_host(self, name: str, folder: Path) -> Host:
        """Just a folder."""
        return Host(
            name=name, folder=folder, address="127.0.0.1", gateway="127.0.0.1", prefix=(), has_tun=False
        )

    def close(self) -> None:
        """Nothing to remove."""


def _claim_number() -> tuple[int, IO[str]]:
    _LOCK_DIR.mkdir(parents=True, exist_ok=True)
    for number in range(256):
        handle = (_LOCK_DIR / f"{number}.lock").open("w")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            continue
        return number, handle
    raise UnderlayError(f"all 256 lab networks are in use (see {_LOCK_DIR})")


def _write_private_etc(folder: Path, *, nameserver: str) -> None:
    host_etc, own_etc = folder / "etc.host", folder / "etc"
    host_etc.mkdir()
    own_etc.mkdir()
    for entry in Path("/etc").iterdir():
        if entry.name != "resolv.conf":
            (own_etc / entry.name).symlink_to(host_etc / entry.name)
    (own_etc / "resolv.conf").write_text(f"nameserver {nameserver}\n")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
