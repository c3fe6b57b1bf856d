"""The responder against the library's own initiator, and against what must not pass."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.noise.connection import NoiseConnection
from coordinator.noise.errors import RemoteProtocolError
from coordinator.noise.handshake import prologue, respond
from coordinator.noise.keys import public_key
from coordinator.noise.messages import Initiation, parse_initiation
from tests.support.fake_tailscaled import Initiator, private_key

SERVER = bytes(range(1, 33))
CLIENT = bytes(range(101, 133))
LOW_ORDER = (
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
)


def initiation(version: int = 142) -> tuple[Initiator, Initiation]:
    initiator = Initiator(CLIENT, public_key(SERVER), version)
    return initiator, parse_initiation(initiator.initiation)


def test_proves_the_machine_key_and_agrees_on_both_keys() -> None:
    initiator, message = initiation()
    handshake = respond(SERVER, message)
    assert handshake.machine_key == public_key(CLIENT)
    assert handshake.version == 142
    channel = initiator.finish(handshake.response)
    server = NoiseConnection(receive_key=handshake.receive_key, send_key=handshake.send_key)
    for number in range(5):
        text = f"record {number}".encode()
        assert server.receive_data(channel.seal(text)) == text
        assert channel.receive_data(server.seal(text)) == text


def test_prologue_is_decimal_text() -> None:
    assert prologue(142) == b"Tailscale Control Protocol v142"


def test_a_changed_version_breaks_it() -> None:
    _, message = initiation(142)
    with pytest.raises(RemoteProtocolError):
        respond(SERVER, Initiation(143, message.payload))


def test_made_for_another_server() -> None:
    _, message = initiation()
    with pytest.raises(RemoteProtocolError):
        respond(private_key(), message)


@pytest.mark.parametrize("point", LOW_ORDER)
def test_low_order_points_are_refused(point: bytes) -> None:
    _, message = initiation()
    with pytest.raises(RemoteProtocolError):
        respond(SERVER, Initiation(142, point + message.payload[32:]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 95), st.integers(1, 255))
def test_one_changed_byte_is_refused(position: int, change: int) -> None:
    _, message = initiation()
    damaged = bytearray(message.payload)
    damaged[position] ^= change
    # X25519 ignores the top bit of a public key, but the transcript hash does not.
    with pytest.raises(RemoteProtocolError):
        respond(SERVER, Initiation(142, bytes(damaged)))


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=96, max_size=96), st.integers(0, 65535))
def test_garbage_is_refused(payload: bytes, version: int) -> None:
    with pytest.raises(RemoteProtocolError):
        respond(SERVER, Initiation(version, payload))
