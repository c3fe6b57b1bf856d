"""UDP packets as the kernel copied them, and everything else as nothing."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.gateway.packets import Datagram, datagram

# Headers of packets a kernel logged, sums and all; 148 bytes follow.
IPV4 = bytes.fromhex("450000b0881a40004011b4207f0000017f000001837eca6c009cfeaf")
IPV6 = bytes.fromhex(
    "6006f82e009c11400000000000000000000000000000000100000000000000000000000000000001a946ca6d009c00af"
)
DATA = b"\x01\x00\x00\x00" + b"x" * 144


def test_both_families() -> None:
    assert datagram(IPV4 + DATA) == Datagram(address="127.0.0.1", source_port=33662, port=51820, data=DATA)
    assert datagram(IPV6 + DATA) == Datagram(address="::1", source_port=43334, port=51821, data=DATA)


def test_endpoints_as_wg_writes_them() -> None:
    assert Datagram(address="192.0.2.1", source_port=5, port=1, data=b"").endpoint == "192.0.2.1:5"
    assert Datagram(address="2001:db8::1", source_port=5, port=1, data=b"").endpoint == "[2001:db8::1]:5"


def test_an_ipv4_header_with_options() -> None:
    longer = bytes([0x46]) + IPV4[1:20] + bytes(4) + IPV4[20:]
    found = datagram(longer + DATA)
    assert found is not None
    assert found.data == DATA


def test_what_is_padded_below_ends_where_udp_says() -> None:
    found = datagram(IPV4 + DATA + bytes(7))
    assert found is not None
    assert found.data == DATA


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x00" * 200,
        b"\x45",
        IPV4[:20],
        IPV4[:27],
        IPV6[:40],
        IPV6,
        IPV4 + DATA[:-1],
        # A header shorter than a header, TCP, a fragment, more fragments, a length below its own header.
        b"\x44" + IPV4[1:] + DATA,
        IPV4[:9] + b"\x06" + IPV4[10:] + DATA,
        IPV4[:6] + b"\x00\x01" + IPV4[8:] + DATA,
        IPV4[:6] + b"\x20\x00" + IPV4[8:] + DATA,
        IPV4[:24] + struct.pack("!H", 3) + IPV4[26:] + DATA,
        IPV6[:6] + b"\x2c" + IPV6[7:] + DATA,
    ],
)
def test_anything_else_is_nothing(packet: bytes) -> None:
    assert datagram(packet) is None


@given(st.binary(max_size=300))
def test_no_bytes_are_too_strange(packet: bytes) -> None:
    for start in (b"", b"\x45", b"\x60"):
        datagram(start + packet)
