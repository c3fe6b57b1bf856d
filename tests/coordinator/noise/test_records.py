"""Records: the nonce's byte order, the sizes, and what damage does."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.noise.errors import LocalProtocolError, RemoteProtocolError
from coordinator.noise.messages import MAX_PLAINTEXT_BYTES, MAX_RECORD_BYTES
from coordinator.noise.records import MAX_COUNTER, Opener, Sealer

KEY = bytes(range(32))


def test_nonces_count_big_endian() -> None:
    sealer, cipher = Sealer(KEY), ChaCha20Poly1305(KEY)
    for counter in range(300):  # past 255, where the byte orders part a second time
        nonce = bytes(4) + counter.to_bytes(8, "big")
        # 04 | u16 ciphertext length | ciphertext and tag
        assert sealer.seal(b"abc") == bytes.fromhex("04 0013") + cipher.encrypt(nonce, b"abc", None)


@pytest.mark.parametrize("size", [1, 4076, 4077, 4078, 2 * 4077, 100_000])
def test_cuts_into_full_records(size: int) -> None:
    sealed = Sealer(KEY).seal(b"x" * size)
    count = -(-size // MAX_PLAINTEXT_BYTES)
    assert len(sealed) == size + 19 * count
    assert int.from_bytes(sealed[1:3], "big") + 3 <= MAX_RECORD_BYTES
    assert Opener(KEY).receive(sealed) == b"x" * size


def test_nothing_seals_to_nothing() -> None:
    assert Sealer(KEY).seal(b"") == b""


def test_an_empty_record_is_legal() -> None:
    empty = bytes.fromhex("04 0010") + ChaCha20Poly1305(KEY).encrypt(bytes(12), b"", None)
    opener = Opener(KEY)
    assert opener.receive(empty) == b""
    with pytest.raises(RemoteProtocolError):  # the counter moved on, so a repetition fails
        opener.receive(empty)


def test_repeated_and_swapped_records_are_refused() -> None:
    sealer = Sealer(KEY)
    first, second = sealer.seal(b"first"), sealer.seal(b"second")
    with pytest.raises(RemoteProtocolError):
        Opener(KEY).receive(second + first)


def test_the_last_nonce_is_never_used() -> None:
    sealer = Sealer(KEY)
    sealer._counter = MAX_COUNTER
    with pytest.raises(LocalProtocolError):
        sealer.seal(b"x")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=9000), max_size=6), st.data())
def test_any_cutting_gives_the_same_stream(messages: list[bytes], data: st.DataObject) -> None:
    sealer = Sealer(KEY)
    wire = b"".join(sealer.seal(message) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    opener = Opener(KEY)
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert b"".join(opener.receive(piece) for piece in pieces) == b"".join(messages)


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=5000), st.data())
def test_damage_never_yields_wrong_plaintext(message: bytes, data: st.DataObject) -> None:
    wire = bytearray(Sealer(KEY).seal(message))
    position = data.draw(st.integers(0, len(wire) - 1))
    wire[position] ^= data.draw(st.integers(1, 255))
    try:
        plain = Opener(KEY).receive(bytes(wire))
    except RemoteProtocolError:
        return
    # A longer announced length waits for bytes that never come; what came before it is intact.
    assert message.startswith(plain) and len(plain) < len(message)
