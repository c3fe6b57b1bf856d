"""Keys: canonical public keys are taken, everything else is refused with a reason and without the text."""

from __future__ import annotations

import os
from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from coordinator.wireguard.keys import (
    LOW_ORDER,
    PRIME,
    KeyTextError,
    new_preshared_key,
    parse_public_key,
    short,
)


def text(number: int) -> str:
    return b64encode(number.to_bytes(32, "little")).decode()


def test_real_keys_are_taken() -> None:
    for _ in range(20):
        made = b64encode(X25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
        assert parse_public_key(f" {made}\n") == made
        assert short(made) == f"{made[:10]}…"


@pytest.mark.parametrize("number", sorted(LOW_ORDER))
def test_points_of_low_order_are_refused_and_are_such(number: int) -> None:
    with pytest.raises(KeyTextError, match="low order"):
        parse_public_key(text(number))
    with pytest.raises(ValueError, match="Error computing shared key"):
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(number.to_bytes(32, "little")))


@pytest.mark.parametrize("number", [PRIME, PRIME + 1, PRIME + 9, 1 << 255, (1 << 255) + 9, (1 << 256) - 1])
def test_other_spellings_of_a_point_are_refused(number: int) -> None:
    with pytest.raises(KeyTextError, match="canonical"):
        parse_public_key(text(number))


@pytest.mark.parametrize(
    "wrong",
    ["", "x", "A" * 44, "A" * 42 + "==", "ü" * 44, "A" * 43 + "\0", text(9)[:-2] + "!=", text(9)[:-2] + "B=",
     "-" * 43 + "="],
)  # fmt: skip
def test_texts_that_are_no_keys(wrong: str) -> None:
    with pytest.raises(KeyTextError) as caught:
        parse_public_key(wrong)
    assert len(wrong) < 10 or wrong not in str(caught.value)


def test_preshared_keys_are_random() -> None:
    assert len({new_preshared_key(os.urandom) for _ in range(9)}) == 9
