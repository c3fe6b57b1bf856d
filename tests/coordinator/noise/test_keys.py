"""The server's key: text form and public half."""

from __future__ import annotations

import pytest

from coordinator.noise.keys import clamp, format_private_key, parse_private_key, public_key

PRIVATE = bytes(range(32))
TEXT = "privkey:" + PRIVATE.hex()


def test_public_key_of_the_base_point() -> None:
    # RFC 7748 section 5.2: after one iteration, X25519(9, 9).
    nine = b"\x09" + bytes(31)
    assert public_key(nine).hex() == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"


def test_clamping_does_not_change_the_public_key() -> None:
    raw = bytes([255] * 32)
    clamped = clamp(raw)
    assert (clamped[0] & 7, clamped[31] >> 6) == (0, 1)
    assert public_key(clamped) == public_key(raw)


def test_text_round_trip() -> None:
    assert format_private_key(PRIVATE) == TEXT
    assert parse_private_key(f"  {TEXT}\n") == PRIVATE
    assert parse_private_key("privkey:" + PRIVATE.hex().upper()) == PRIVATE


@pytest.mark.parametrize("text", ["", TEXT[:-1], TEXT + "0", "mkey:" + PRIVATE.hex(), "privkey:" + "g" * 64])
def test_refuses_other_text_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"private key|non-hexadecimal") as caught:
        parse_private_key(text)
    assert PRIVATE.hex()[:16] not in str(caught.value)
