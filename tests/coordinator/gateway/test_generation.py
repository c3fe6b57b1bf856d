"""The kernel's count of transactions."""

import socket
import struct

import pytest

from coordinator.gateway import generation as module
from coordinator.gateway.generation import generation, parse


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


def test_without_the_right_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(module.socket, "socket", refuse)
    assert socket.socket is refuse
    assert generation() is None
