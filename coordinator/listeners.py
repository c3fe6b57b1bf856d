"""Listening sockets that survive a planned restart.

A client whose connection attempt is refused loses ten seconds, one that waits in the accept queue loses none.
So
sockets are taken from the service manager (the `LISTEN_FDS` protocol of systemd) where they are offered, and
a restart by SIGUSR2 hands the open ones to the new program image in the same way.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

FIRST_FD = 3
BACKLOG = 4096
"""Clients that wait while the server starts, or while a storm is let in slowly. The kernel may cap it
(somaxconn).
"""

_FREE_BIND = {
    socket.AF_INET: (socket.IPPROTO_IP, 15),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 78),
}
"""IP_FREEBIND and IPV6_FREEBIND, which Python 3.11 does not name. Source: linux/in.h, linux/in6.h."""


def inherited_sockets(env: Mapping[str, str], pid: int) -> dict[str, socket.socket]:
    """Sockets handed over, by name.

    Args:
        env: With LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES; meant for another process if LISTEN_PID differs.
        pid: This process.
    """
    if env.get("LISTEN_PID") != str(pid) or not env.get("LISTEN_FDS", "").isdecimal():
        return {}
    names = env.get("LISTEN_FDNAMES", "").split(":")
    found: dict[str, socket.socket] = {}
    for number in range(int(env["LISTEN_FDS"])):
        name = names[number] if number < len(names) and names[number] else f"unknown{number}"
        # An unnamed single socket is the main listener.
        found["main" if name.startswith("unknown") and number == 0 else name] = socket.socket(
            fileno=FIRST_FD + number
        )
    return found


def listen(
    address: tuple[str, int], inherited: socket.socket | None, *, awaited: bool = False
) -> socket.socket:
    """A listening TCP socket: the inherited one if it has this port, else a new one.

    With `awaited` the machine need not have the address yet: it may come up later.

    Raises:
        OSError: the address cannot be bound.
    """
    if inherited is not None:
        if inherited.getsockname()[1] == address[1]:
            inherited.setblocking(False)
            return inherited
        inherited.close()
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if awaited:
            sock.setsockopt(*_FREE_BIND[family], 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return sock


def restart_in_place(sockets: Mapping[str, socket.socket]) -> None:
    """Replace this process by a fresh image of the program, which inherits the sockets. Does not return."""
    # Move out of the way first: a socket may sit where another has to go.
    free = FIRST_FD + len(sockets)
    moved = [os.dup(sock.fileno()) for sock in sockets.values()]
    moved = [os.dup(fd) if fd < free else fd for fd in moved]
    for position, fd in enumerate(moved):
        os.dup2(fd, FIRST_FD + position, inheritable=True)
    env = dict(os.environ)
    env.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(moved)), LISTEN_FDNAMES=":".join(sockets))
    os.execve(sys.executable, [sys.executable, "-m", "coordinator", *sys.argv[1:]], env)
