"""Byte tables: a result or RemoteProtocolError, nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.noise.errors import RemoteProtocolError
from coordinator.noise.messages import (
    Initiation,
    pack_initiation,
    pack_record_header,
    pack_response,
    parse_initiation,
    parse_record_header,
    parse_response,
)

# u16 version 142 | type 1 | u16 96
INITIATION = bytes.fromhex("008e 01 0060") + bytes(range(96))
# type 2 | u16 48
RESPONSE = bytes.fromhex("02 0030") + bytes(range(48))


def test_initiation_vector() -> None:
    assert parse_initiation(INITIATION) == Initiation(142, bytes(range(96)))
    assert pack_initiation(Initiation(142, bytes(range(96)))) == INITIATION


def test_response_vector() -> None:
    assert pack_response(bytes(range(48))) == RESPONSE
    assert parse_response(RESPONSE) == bytes(range(48))


def test_record_header_vector() -> None:
    # type 4 | u16 4093, the largest
    assert pack_record_header(4093) == bytes.fromhex("04 0ffd")
    assert parse_record_header(b"??" + bytes.fromhex("04 0ffd"), 2) == 4093


@pytest.mark.parametrize(
    "data",
    [
        b"",
        INITIATION[:-1],
        INITIATION + b"x",
        INITIATION[:2] + b"\x02" + INITIATION[3:],
        INITIATION[:4] + b"a" + INITIATION[5:],
    ],
)
def test_bad_initiation(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_initiation(data)


@pytest.mark.parametrize(
    "data", [RESPONSE[:-1], b"", b"\x03" + RESPONSE[1:], RESPONSE[:2] + b"1" + RESPONSE[3:]]
)
def test_bad_response(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_response(data)


@pytest.mark.parametrize("header", ["04 000f", "04 0ffe", "04 ffff", "02 0030", "00 0020"])
def test_bad_record_header(header: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_record_header(bytes.fromhex(header))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120) | st.binary(min_size=96, max_size=96).map(lambda tail: INITIATION[:5] + tail))
def test_any_bytes(data: bytes) -> None:
    try:
        initiation = parse_initiation(data)
    except RemoteProtocolError:
        return
    assert pack_initiation(initiation) == data
