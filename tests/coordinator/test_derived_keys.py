"""Keys for single purposes."""

from __future__ import annotations

import hashlib
import hmac

from coordinator.derived_keys import derive_key


def test_each_purpose_has_a_key_of_its_own() -> None:
    noise_key = bytes(range(32))
    first, second = derive_key(noise_key, "one"), derive_key(noise_key, "two")
    assert len(first) == 32
    assert first == derive_key(noise_key, "one")
    assert len({noise_key, first, second, derive_key(bytes(32), "one")}) == 4


def test_it_is_hkdf() -> None:
    # RFC 5869 by hand: extract with a salt of zeros, then one block of expand.
    secret = hmac.digest(bytes(32), b"k" * 32, hashlib.sha256)
    block = hmac.digest(secret, b"coordinator key: access answers\x01", hashlib.sha256)
    assert derive_key(b"k" * 32, "access answers") == block
