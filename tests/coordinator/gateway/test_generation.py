"""The kernel's count of transactions."""

import errno
import socket
import struct

import pytest

from coordinator.gateway import generation as module
from coordinator.gateway.generation import drain, generation, notices, parse


def answer(kind: int = 0x0A0F, attributes: bytes = struct.pack("=HH", 8, 1) + struct.pack("!I", 77)) -> bytes:
    """A netlink message."""
    return struct.pack("=IHHIIBBH", 20 + len(attributes), kind, 0, 1, 9, 0, 0, 0) + attributes


def test_the_number_is_found_among_the_attributes() -> None:
    other = struct.pack("=HH", 7, 3) + b"nft\x00"
    assert parse(answer()) == 77
    assert parse(answer(attributes=other + struct.pack("=HH", 8, 1) + struct.pack("!I", 78))) == 78


@pytest.mark.parametrize("data", [b"", b"x" * 19, answer(kind=2), answer(attributes=b""), answer()[:26]])
def test_anything_else_is_no_number(data: bytes) -> None:
    assert parse(data) is None


def test_attributes_of_no_length_do_not_hang() -> None:
    assert parse(answer(attributes=b"\x00" * 16)) is None


def test_notices_are_read_away() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        theirs.send(b"x" * 100)
        drain(ours)
        with pytest.raises(BlockingIOError):
            ours.recv(1)


def test_lost_notices_are_notices() -> None:
    left = [OSError(errno.ENOBUFS, "full"), BlockingIOError()]

    class Full:
        def recv(self, _: int) -> bytes:
            raise left.pop(0)

    drain(Full())  # type: ignore[arg-type]
    assert left == []


def test_without_the_right_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(module.socket, "socket", refuse)
    assert socket.socket is refuse
    assert generation() is None


def test_nor_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused:
        closed = False

        def __init__(self, *_: object) -> None: ...

        def bind(self, _: object) -> None:
            raise PermissionError

        def close(self) -> None:
            Refused.closed = True

    monkeypatch.setattr(module.socket, "socket", Refused)
    assert notices() is None
    assert Refused.closed
