"""Sockets that are handed over."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap

import pytest

from coordinator.listeners import inherited_sockets, listen


def test_nothing_is_taken_that_was_meant_for_another_process() -> None:
    assert inherited_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, os.getpid()) == {}
    assert inherited_sockets({}, os.getpid()) == {}


def test_a_port_in_use_is_named() -> None:
    first = listen(("127.0.0.1", 0), None)
    port = first.getsockname()[1]
    with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
        listen(("127.0.0.1", port), None)
    first.close()


def test_an_inherited_socket_of_another_port_is_not_used() -> None:
    old = listen(("127.0.0.1", 0), None)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    new = listen(("127.0.0.1", port), old)
    assert new.getsockname()[1] == port
    assert old.fileno() == -1
    new.close()


def test_a_client_waits_in_the_queue_across_a_restart() -> None:
    """The new image finds the same open socket, and serves who connected meanwhile."""
    program = textwrap.dedent(
        """
        import os, socket, sys
        from coordinator import listeners

        found = listeners.inherited_sockets(os.environ, os.getpid())
        if found:
            sock = listeners.listen(found["main"].getsockname(), found["main"])
            sock.setblocking(True)
            connection, _ = sock.accept()
            connection.sendall(b"new image")
            sys.exit(0)
        sock = listeners.listen(("127.0.0.1", 0), None)
        print(sock.getsockname()[1], flush=True)
        sys.stdin.readline()
        os.execve_real = os.execve
        os.execve = lambda path, argv, env: os.execve_real(path, [path, "-c", PROGRAM], env)
        listeners.restart_in_place({"main": sock})
        """
    )
    program = f"PROGRAM = {program!r}\n" + program
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        port = int(child.stdout.readline())
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        child.stdin.write("go\n")
        child.stdin.flush()
        # The second image has no PROGRAM of its own to run again: it only answers.
        assert client.recv(100) == b"new image"
        client.close()
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("host", ["203.0.113.9", "2001:db8::9"])
def test_an_address_may_be_awaited(host: str) -> None:
    with pytest.raises(OSError, match="cannot listen"):
        listen((host, 0), None)
    try:
        listen((host, 0), None, awaited=True).close()
    except OSError as error:
        if ":" in host and "family not supported" in str(error):
            pytest.skip("NOT TESTED: an IPv6 address, this machine has no IPv6")
        raise
