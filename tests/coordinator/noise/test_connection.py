"""Both ends of a channel against each other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.noise.connection import NoiseConnection
from coordinator.noise.errors import LocalProtocolError, RemoteProtocolError

ONE, TWO = bytes(range(32)), bytes(range(32, 64))


def pair() -> tuple[NoiseConnection, NoiseConnection]:
    return (
        NoiseConnection(receive_key=ONE, send_key=TWO),
        NoiseConnection(receive_key=TWO, send_key=ONE),
    )


def test_many_records_both_ways() -> None:
    left, right = pair()
    for number in range(1000):
        text = b"%d" % number * (number % 50 + 1)
        assert right.receive_data(left.seal(text)) == text
        assert left.receive_data(right.seal(text)) == text


def test_byte_by_byte() -> None:
    left, right = pair()
    wire = left.seal(b"x" * 5000) + left.seal(b"end")
    assert b"".join(right.receive_data(wire[i : i + 1]) for i in range(len(wire))) == b"x" * 5000 + b"end"


def test_dead_after_damage() -> None:
    left, right = pair()
    wire = bytearray(left.seal(b"hello"))
    wire[-1] ^= 1
    with pytest.raises(RemoteProtocolError):
        right.receive_data(bytes(wire))
    with pytest.raises(LocalProtocolError):
        right.receive_data(left.seal(b"again"))
    with pytest.raises(LocalProtocolError):
        right.seal(b"answer")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=5000))
def test_garbage_is_an_error_or_an_incomplete_record(data: bytes) -> None:
    _, right = pair()
    try:
        assert right.receive_data(data) == b""
    except RemoteProtocolError:
        with pytest.raises(LocalProtocolError):
            right.seal(b"x")
