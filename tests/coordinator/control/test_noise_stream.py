"""The byte stream over a recording transport."""

from __future__ import annotations

import socket

from coordinator.control.limits import ControlLimits
from coordinator.control.noise_stream import NoiseStream, watch_liveness
from coordinator.noise.connection import NoiseConnection

ONE, TWO = bytes(range(32)), bytes(range(32, 64))


class Transport:
    def __init__(self) -> None:
        self.written = b""
        self.ended = ""

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.ended = "close"

    def abort(self) -> None:
        self.ended = "abort"

    def is_closing(self) -> bool:
        return bool(self.ended)

    def get_write_buffer_size(self) -> int:
        return len(self.written)


class Receiver:
    def __init__(self) -> None:
        self.log: list[str] = []

    def data_received(self, data: bytes) -> None:
        self.log.append(data.decode())

    def writable(self) -> None:
        self.log.append("writable")

    def connection_lost(self, reason: str) -> None:
        self.log.append(f"lost: {reason}")


def stream() -> tuple[NoiseStream, Transport, Receiver, NoiseConnection]:
    transport, receiver = Transport(), Receiver()
    made = NoiseStream(transport, NoiseConnection(receive_key=ONE, send_key=TWO))
    made.start(receiver)
    return made, transport, receiver, NoiseConnection(receive_key=TWO, send_key=ONE)


def test_carries_bytes_both_ways() -> None:
    made, transport, receiver, far = stream()
    made.data_received(far.seal(b"hello"))
    made.write(b"world")
    assert receiver.log == ["hello"]
    assert made.bytes_in == 24 and made.bytes_out == made.buffered == 24
    assert far.receive_data(transport.written) == b"world"


def test_damage_aborts_with_the_reason() -> None:
    made, transport, receiver, far = stream()
    made.data_received(b"GET / HTTP/1.1\r\n")
    assert transport.ended == "abort"
    made.data_received(far.seal(b"late"))
    made.write(b"late")
    made.connection_lost(None)
    made.connection_lost(None)
    assert receiver.log == ["lost: message of type 71 where a record was due"]
    assert transport.written == b""


def test_the_first_reason_is_told() -> None:
    made, _, receiver, _ = stream()
    made.close("server stopped")
    made.abort("second")
    made.connection_lost(ConnectionResetError("reset"))
    assert receiver.log == ["lost: server stopped"]


def test_back_pressure_is_handed_up() -> None:
    made, _, receiver, _ = stream()
    made.pause_writing()
    assert made.paused
    made.resume_writing()
    assert not made.paused and receiver.log == ["writable"]


def test_the_end_of_the_peer() -> None:
    made, _, receiver, _ = stream()
    assert made.eof_received() is False
    made.connection_lost(None)
    assert receiver.log == ["lost: closed by the client"]


def test_liveness_options_are_set() -> None:
    with socket.socket() as sock:

        class Info:
            def get_extra_info(self, name: str) -> socket.socket:
                return sock

        watch_liveness(Info(), ControlLimits())  # type: ignore[arg-type]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
