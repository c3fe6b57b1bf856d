"""NaCl's `crypto_box` (X25519, XSalsa20, Poly1305) between two keys.

The only importer of the library's box. Used by `handshake`, twice per connection; packets are never encrypted
here, they arrive sealed by WireGuard or disco.
"""

from nacl.bindings import crypto_box_afternm, crypto_box_beforenm, crypto_box_open_afternm
from nacl.exceptions import CryptoError

from derp.frames import RemoteProtocolError

__all__ = ["NONCE_LENGTH", "OVERHEAD", "Box"]

NONCE_LENGTH = 24
OVERHEAD = 16
"""Bytes a sealed message is longer than its text."""


class Box:
    """The shared secret of one private and one public key, 32 bytes each. Both sides get the same.

    Raises:
        RemoteProtocolError: the public key is a point of low order, which nobody holds a private key for.
    """

    __slots__ = ("_shared",)

    def __init__(self, *, private_key: bytes, public_key: bytes) -> None:
        try:
            self._shared: bytes = crypto_box_beforenm(public_key, private_key)
        except CryptoError:
            raise RemoteProtocolError("the key is not a usable X25519 public key") from None

    def seal(self, message: bytes, nonce: bytes) -> bytes:
        """Encrypt. `nonce` has 24 bytes and is never used twice with the same two keys."""
        sealed: bytes = crypto_box_afternm(message, nonce, self._shared)
        return sealed

    def open(self, sealed: bytes, nonce: bytes) -> bytes:
        """Decrypt.

        Raises:
            RemoteProtocolError: not sealed with the other side's key and this nonce, or damaged.
        """
        if len(sealed) < OVERHEAD:
            raise RemoteProtocolError(f"a box has at least {OVERHEAD} bytes, got {len(sealed)}")
        try:
            message: bytes = crypto_box_open_afternm(sealed, nonce, self._shared)
        except CryptoError:
            raise RemoteProtocolError("the box does not open with this key") from None
        return message
