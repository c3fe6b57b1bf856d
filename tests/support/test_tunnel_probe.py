"""The probe programs against themselves and against a small DNS server."""

import socket
import struct
import threading

import pytest

from tests.support import tunnel_probe
from tests.support.ports import free_port

HEADER = struct.Struct(">6H")


def test_echo_returns_the_hash_of_what_came_back() -> None:
    port = free_port("127.0.0.1")
    thread = threading.Thread(target=tunnel_probe.serve, args=("127.0.0.1", port), daemon=True)
    thread.start()
    for _ in range(100):
        try:
            digest = tunnel_probe.echo("127.0.0.1", port, 200_000, 5)
            break
        except ConnectionRefusedError:
            threading.Event().wait(0.01)
    assert len(digest) == 64


def test_echo_to_nobody_is_an_error_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port("127.0.0.1")
    assert tunnel_probe.main(["echo", "127.0.0.1", str(port), "10", "1"]) == 1
    assert "ConnectionRefusedError" in capsys.readouterr().err


def test_a_held_connection_ends_with_the_other_side(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_twice() -> None:
            connection, _ = listener.accept()
            with connection:
                for _ in range(2):
                    connection.sendall(connection.recv(1))

        thread = threading.Thread(target=answer_twice, daemon=True)
        thread.start()
        assert tunnel_probe.main(["hold", "127.0.0.1", str(listener.getsockname()[1]), "5"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "connected\n"
    assert "Error" in captured.err


def test_wrong_arguments_show_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert tunnel_probe.main(["dance"]) == 2
    assert "resolve SERVER NAME TYPE" in capsys.readouterr().err


def answer_once(records: bytes, count: int, rcode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next `resolve` talk to a server that sends these records."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    port = server.getsockname()[1]
    connect = socket.socket.connect

    def serve() -> None:
        with server:
            query, client = server.recvfrom(512)
            server.sendto(
                query[:2] + HEADER.pack(0, 0x8180 | rcode, 1, count, 0, 0)[2:] + query[12:] + records, client
            )

    class Redirected(socket.socket):
        def connect(self, address: object) -> None:
            connect(self, ("127.0.0.1", port))

    monkeypatch.setattr(socket, "socket", Redirected)
    threading.Thread(target=serve, daemon=True).start()


def test_resolve_skips_other_records(monkeypatch: pytest.MonkeyPatch) -> None:
    alias = b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 60, 4) + b"\x01b\xc0\x0c"
    address = b"\x01b\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([100, 64, 0, 7])
    answer_once(alias + address, 2, 0, monkeypatch)
    assert tunnel_probe.resolve("192.0.2.1", "a.lab.", 1) == ["100.64.0.7"]


def test_resolve_reports_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_once(b"", 0, 3, monkeypatch)
    assert tunnel_probe.resolve("192.0.2.1", "nobody.lab", 1) == ["rcode 3"]
