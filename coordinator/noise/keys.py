"""The server's own X25519 key."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

PREFIX = "privkey:"


def parse_private_key(text: str) -> bytes:
    """32 bytes from `privkey:` + 64 hex digits; white space around it is allowed.

    Raises:
        ValueError: anything else.
    """
    text = text.strip()
    if not text.startswith(PREFIX) or len(text) != len(PREFIX) + 64:
        raise ValueError("a private key is `privkey:` and 64 hex digits")
    raw = bytes.fromhex(text[len(PREFIX) :])
    if len(raw) != 32:  # bytes.fromhex skips white space
        raise ValueError("a private key is `privkey:` and 64 hex digits")
    return raw


def format_private_key(private_key: bytes) -> str:
    """The text form."""
    return PREFIX + private_key.hex()


def clamp(random_bytes: bytes) -> bytes:
    """A private key from 32 random bytes, clamped as X25519 does when it uses it."""
    key = bytearray(random_bytes)
    key[0] &= 248
    key[31] = (key[31] & 127) | 64
    return bytes(key)


def public_key(private_key: bytes) -> bytes:
    """The 32-byte public key."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()
