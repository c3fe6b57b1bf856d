"""Ports for servers under test: none twice in a process, and none that the kernel gives to connections."""

from __future__ import annotations

import itertools
import os
import socket

# Below the range of ports of outgoing connections, which come and go at any moment.
_FIRST, _COUNT = 10_000, 20_000
# Test processes that run side by side begin far apart.
_NUMBERS = itertools.count(os.getpid() * 7919)


def free_port(address: str = "127.0.0.1", kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port nobody uses at this moment."""
    for number in itertools.islice(_NUMBERS, _COUNT):
        port = _FIRST + number % _COUNT
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port on {address}")
