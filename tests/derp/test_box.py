"""box: both sides share it, damage is noticed, useless keys are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derp.box import NONCE_LENGTH, OVERHEAD, Box
from derp.frames import RemoteProtocolError
from derp.keys import clamp, public_key_of

ALICE, BOB = clamp(bytes(range(32))), clamp(bytes(range(100, 132)))
NONCE = bytes(range(NONCE_LENGTH))


def alice_to_bob() -> Box:
    return Box(private_key=ALICE, public_key=public_key_of(BOB))


def bob_to_alice() -> Box:
    return Box(private_key=BOB, public_key=public_key_of(ALICE))


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_both_sides_share_it(message: bytes) -> None:
    sealed = alice_to_bob().seal(message, NONCE)
    assert len(sealed) == len(message) + OVERHEAD
    assert bob_to_alice().open(sealed, NONCE) == message


@settings(max_examples=100)
@given(st.integers(0, (5 + OVERHEAD) * 8 - 1))
def test_one_changed_bit_is_noticed(bit: int) -> None:
    sealed = bytearray(alice_to_bob().seal(b"hello", NONCE))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RemoteProtocolError):
        bob_to_alice().open(bytes(sealed), NONCE)


@given(st.binary(max_size=40))
def test_noise_does_not_open(sealed: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        bob_to_alice().open(sealed, NONCE)


@pytest.mark.parametrize("public_key", [bytes(32), b"\x01" + bytes(31)])
def test_points_of_low_order_are_refused(public_key: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Box(private_key=ALICE, public_key=public_key)
