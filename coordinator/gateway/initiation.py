"""Opening a WireGuard handshake initiation: whose key is it that knocks. Pure.

Message type 1, 148 bytes: type and reserved (4), sender index (4), ephemeral public key (32), encrypted
static public key (32 + 16), encrypted timestamp (12 + 16), mac1 (16), mac2 (16). Source: the WireGuard
whitepaper, sections 5.4.2 and 5.4.4. The handshake is Noise_IKpsk2, of which this is the first half;
no preshared key takes part in it.

The sender proves three things, from cheap to dear: mac1 that it knows the gateway's public key (one hash);
the encrypted static key nothing more than that (one agreement); the encrypted timestamp that it holds the
private half of that static key (another agreement). Only the last makes a knock: everybody who knows two
public keys could make the first two parts.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_scalarmult,
    crypto_scalarmult_base,
)
from nacl.exceptions import CryptoError

INITIATION_BYTES = 148
MESSAGE_TYPE = b"\x01\x00\x00\x00"

_HASH_BYTES = 32
_MAC_BYTES = 16
_MACED_BYTES = 116
_EPHEMERAL = slice(8, 40)
_STATIC = slice(40, 88)
_TIMESTAMP = slice(88, 116)
_MAC1 = slice(116, 132)
_NONCE = bytes(12)
_LABEL_MAC1 = b"mac1----"


def _hash(*parts: bytes) -> bytes:
    return hashlib.blake2s(b"".join(parts)).digest()


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "blake2s")


def _kdf1(key: bytes, data: bytes) -> bytes:
    return _hmac(_hmac(key, data), b"\x01")


def _kdf2(key: bytes, data: bytes) -> tuple[bytes, bytes]:
    secret = _hmac(key, data)
    first = _hmac(secret, b"\x01")
    return first, _hmac(secret, first + b"\x02")


_CHAIN = _hash(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
_START = _hash(_CHAIN, b"WireGuard v1 zx2c4 Jason@zx2c4.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Who began a handshake: its public key, and its timestamp (TAI64N: 12 bytes that sort by time)."""

    public_key: str
    timestamp: bytes


class Lock:
    """One of the gateway's keys, ready to open what is meant for it.

    Args:
        private_key: as in its file, base64 of 32 bytes.
    """

    def __init__(self, private_key: str) -> None:
        self._private = base64.b64decode(private_key)
        public = crypto_scalarmult_base(self._private)
        self._start = _hash(_START, public)
        self._mac1_key = _hash(_LABEL_MAC1, public)

    def fits(self, message: bytes) -> bool:
        """Whether it is an initiation by somebody who knows the public key: a length, a type and one hash."""
        if len(message) != INITIATION_BYTES or not message.startswith(MESSAGE_TYPE):
            return False
        mac1 = hashlib.blake2s(message[:_MACED_BYTES], digest_size=_MAC_BYTES, key=self._mac1_key).digest()
        return hmac.compare_digest(mac1, message[_MAC1])

    def open(self, message: bytes) -> Opened | None:
        """Who sent it, proven; None when it was made by somebody without the private key of who it names.

        Args:
            message: one that `fits`.
        """
        ephemeral = message[_EPHEMERAL]
        chain = _kdf1(_CHAIN, ephemeral)
        hashed = _hash(self._start, ephemeral)
        try:
            chain, key = _kdf2(chain, crypto_scalarmult(self._private, ephemeral))
            static = crypto_aead_chacha20poly1305_ietf_decrypt(message[_STATIC], hashed, _NONCE, key)
            hashed = _hash(hashed, message[_STATIC])
            _, key = _kdf2(chain, crypto_scalarmult(self._private, static))
            timestamp = crypto_aead_chacha20poly1305_ietf_decrypt(message[_TIMESTAMP], hashed, _NONCE, key)
        except (CryptoError, RuntimeError):
            # A tag that does not match, or a point of low order, with which nothing can be agreed on.
            return None
        return Opened(public_key=base64.b64encode(static).decode(), timestamp=timestamp)
