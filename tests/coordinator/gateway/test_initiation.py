"""Opening initiations that wireguard-go 0.0.20220316 made, and refusing everything else."""

import hashlib
import os
from base64 import b64decode

import pytest

from coordinator.gateway.initiation import INITIATION_BYTES, Lock
from tests.coordinator.gateway.initiations import DEVICE, FIRST, GATEWAY, GATEWAY_PUBLIC, SECOND, initiation

MAC1 = slice(116, 132)


def test_an_initiation_of_another_implementation_is_opened() -> None:
    lock = Lock(GATEWAY)
    assert lock.fits(FIRST)
    first = lock.open(FIRST)
    assert first is not None
    assert first.public_key == DEVICE
    # TAI64N of 2026-11-21 13:28:43 UTC: 2^62, Unix time, ten leap seconds; wireguard-go rounds what follows.
    assert first.timestamp == (2**62 + 1795267723 + 10).to_bytes(8) + bytes.fromhex("23000000")


def test_timestamps_grow() -> None:
    lock = Lock(GATEWAY)
    first, second = lock.open(FIRST), lock.open(SECOND)
    assert first is not None
    assert second is not None
    assert second.timestamp > first.timestamp


def test_who_does_not_know_the_public_key_is_refused_by_one_hash() -> None:
    assert not Lock(DEVICE).fits(FIRST)
    assert not Lock(GATEWAY).fits(b"\x01\x00\x00\x00" + os.urandom(144))


@pytest.mark.parametrize("length", [0, 1, 4, 115, 116, 131, 147, 149, 300])
def test_other_lengths_are_nothing(length: int) -> None:
    assert not Lock(GATEWAY).fits((FIRST + FIRST)[:length])


@pytest.mark.parametrize("kind", [b"\x02\x00\x00\x00", b"\x01\x00\x00\x01", b"\x00\x00\x00\x01"])
def test_other_messages_are_nothing(kind: bytes) -> None:
    assert not Lock(GATEWAY).fits(with_mac(kind + FIRST[4:]))


@pytest.mark.parametrize("place", [8, 39, 40, 87, 88, 115])
def test_whatever_is_altered_is_not_opened(place: int) -> None:
    altered = with_mac(FIRST[:place] + bytes([FIRST[place] ^ 1]) + FIRST[place + 1 :])
    lock = Lock(GATEWAY)
    assert lock.fits(altered)
    assert lock.open(altered) is None


@pytest.mark.parametrize("ephemeral", [bytes(32), (1).to_bytes(32, "little")])
def test_points_of_low_order_are_refused(ephemeral: bytes) -> None:
    assert Lock(GATEWAY).open(with_mac(FIRST[:8] + ephemeral + FIRST[40:])) is None


def test_naming_a_key_without_holding_it_is_no_knock() -> None:
    """Everybody can encrypt somebody's public key to the gateway; the timestamp needs the private half."""
    made = initiation(GATEWAY_PUBLIC, os.urandom(32), names=b64decode(DEVICE))
    lock = Lock(GATEWAY)
    assert lock.fits(made)
    assert lock.open(made) is None


def test_the_tests_own_initiations_are_like_the_real_ones() -> None:
    private = os.urandom(32)
    opened = Lock(GATEWAY).open(initiation(GATEWAY_PUBLIC, private, timestamp=b"t" * 12))
    assert opened is not None
    assert opened.timestamp == b"t" * 12


def test_the_private_key_stays_out_of_texts() -> None:
    assert GATEWAY not in repr(Lock(GATEWAY))


def with_mac(message: bytes) -> bytes:
    """By somebody who knows the gateway's public key."""
    key = hashlib.blake2s(b"mac1----" + b64decode(GATEWAY_PUBLIC)).digest()
    mac = hashlib.blake2s(message[: MAC1.start], key=key, digest_size=16).digest()
    made = message[: MAC1.start] + mac + message[MAC1.stop :]
    assert len(made) == INITIATION_BYTES
    return made
