"""WireGuard keys as texts: standard base64 of 32 bytes, as `wg` prints them.

A public key is taken only in its one canonical form, and only if something can be agreed on with it: with a
point of low order every shared secret is the same, so that anybody could speak for such a peer. Source:
RFC 7748, sections 5 and 6.1.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable

KEY_BYTES = 32
KEY_CHARS = 44
PRIME = (1 << 255) - 19
_EIGHTH = 325606250916557431795983626356110631294008115727848805560023387167927233504
_OTHER_EIGHTH = 39382357235489614581723060781553021112529911719440698176882885853963445705823
LOW_ORDER = frozenset({0, 1, PRIME - 1, _EIGHTH, _OTHER_EIGHTH})
"""The u-coordinates of all points of order 1, 2, 4 and 8, on the curve and on its twist."""


class KeyTextError(ValueError):
    """A text that is no usable key; says why, without the text, which may be a private key."""


def parse_public_key(text: str) -> str:
    """Check a public key and return it in its canonical form.

    Raises:
        KeyTextError: not base64 of 32 bytes, not canonical, or a point of low order.
    """
    raw = _decode(text)
    number = int.from_bytes(raw, "little")
    if number >= PRIME:
        raise KeyTextError(
            "the public key is not in its canonical form; make one with `wg genkey | wg pubkey`"
        )
    if number in LOW_ORDER:
        raise KeyTextError("the public key is a point of low order, with which nothing can be kept secret")
    return b64encode(raw).decode()


def new_preshared_key(random_bytes: Callable[[int], bytes]) -> str:
    """A preshared key from so many random bytes."""
    return b64encode(random_bytes(KEY_BYTES)).decode()


def short(public_key: str) -> str:
    """The beginning of a key, by which people tell keys apart in tables and messages."""
    return f"{public_key[:10]}…"


def _decode(text: str) -> bytes:
    text = text.strip()
    if len(text) != KEY_CHARS:
        raise KeyTextError(f"a key is {KEY_CHARS} characters of base64, and this text has {len(text)}")
    try:
        raw = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise KeyTextError("a key is standard base64, and this text is not") from None
    if len(raw) != KEY_BYTES or b64encode(raw).decode() != text:
        raise KeyTextError("a key is base64 of exactly 32 bytes, and this text is not")
    return raw
