"""The kernel's packet log: its messages, and the socket with another end in place of the kernel."""

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.gateway import nflog as module
from coordinator.gateway.nflog import listen, payloads, receive
from tests.coordinator.gateway.test_packets import DATA, IPV4, IPV6


def attribute(kind: int, value: bytes) -> bytes:
    """Padded to four bytes."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(packet: bytes, kind: int = 0x0400) -> bytes:
    """As the kernel sends a packet."""
    body = attribute(1, b"\x08\x00\x01\x00") + attribute(9, packet)
    return struct.pack("=IHHIIBBH", 20 + len(body), kind, 0, 0, 0, 2, 0, 51820) + body


def test_the_packets_of_several_messages() -> None:
    odd = IPV4 + DATA + b"!"
    assert list(payloads(message(odd) + bytes(-len(message(odd)) % 4) + message(IPV6))) == [odd, IPV6]


@pytest.mark.parametrize("data", [b"", b"x" * 19, message(b"x", kind=2), struct.pack("=IHHIIBBH", *[0] * 8)])
def test_anything_else_is_no_packet(data: bytes) -> None:
    assert list(payloads(data)) == []


def test_attributes_of_no_length_do_not_hang() -> None:
    assert list(payloads(struct.pack("=IHHIIBBH", 36, 0x0400, 0, 0, 0, 2, 0, 0) + bytes(16))) == []


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange(data: bytes) -> None:
    list(payloads(data))
    list(payloads(struct.pack("=IHHIIBBH", 20 + len(data), 0x0400, 0, 0, 0, 2, 0, 0) + data))


def test_receiving_reads_everything() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    with ours, theirs:
        for packet in (IPV4 + DATA, b"nonsense", IPV6 + DATA):
            theirs.send(message(packet))
        assert [found.address for found in receive(ours)] == ["127.0.0.1", "::1"]
        assert list(receive(ours)) == []


def test_lost_packets_are_lost() -> None:
    left: list[object] = [OSError(errno.ENOBUFS, "full"), message(IPV4 + DATA), BlockingIOError()]

    class Full:
        def recv(self, _: int) -> object:
            found = left.pop(0)
            if isinstance(found, OSError):
                raise found
            return found

    assert len(list(receive(Full()))) == 1  # type: ignore[arg-type]
    left[:] = [OSError(errno.EBADF, "closed")]
    with pytest.raises(OSError, match="closed"):
        list(receive(Full()))  # type: ignore[arg-type]


class Kernel:
    """Stands in for `socket.socket`; answers with an error number, or what else it is given."""

    def __init__(self, answer: int | bytes) -> None:
        self.answer = answer
        self.sent = b""
        self.closed = False

    def __call__(self, *_: int) -> "Kernel":
        return self

    def setsockopt(self, *_: int) -> None: ...
    def bind(self, _: object) -> None: ...
    def settimeout(self, _: float) -> None: ...
    def setblocking(self, _: bool) -> None: ...

    def send(self, data: bytes) -> None:
        self.sent = data

    def recv(self, _: int) -> bytes:
        if isinstance(self.answer, bytes):
            return self.answer
        return struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -self.answer) + self.sent[:16]

    def close(self) -> None:
        self.closed = True


def test_binding_to_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(0)
    monkeypatch.setattr(module.socket, "socket", kernel)
    assert listen(7) is kernel
    # Bind; whole packets, at most 256 bytes of each; one by one.
    assert kernel.sent[18:20] == struct.pack("!H", 7)
    assert kernel.sent[20:] == (
        attribute(1, b"\x01") + attribute(2, b"\x00\x00\x01\x00\x02\x00") + attribute(5, b"\x00\x00\x00\x01")
    )
    assert not kernel.closed


@pytest.mark.parametrize(
    ("answer", "number"),
    [(errno.EBUSY, errno.EBUSY), (errno.EPERM, errno.EPERM), (b"", errno.EPROTO), (bytes(40), errno.EPROTO)],
)
def test_a_kernel_that_says_no(monkeypatch: pytest.MonkeyPatch, answer: int | bytes, number: int) -> None:
    kernel = Kernel(answer)
    monkeypatch.setattr(module.socket, "socket", kernel)
    with pytest.raises(OSError, match=r".") as raised:
        listen()
    assert raised.value.errno == number
    assert kernel.closed
