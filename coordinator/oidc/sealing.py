"""Refresh tokens at rest: encrypted with a key derived from the server's Noise key.

Whoever copies the database alone can do nothing with them; whoever has the Noise key is the server anyway. A
new Noise key makes them unreadable, and people log in again.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from coordinator.tailnet.errors import InvalidError

_INFO = b"coordinator refresh tokens 1"
_NONCE_BYTES = 12


class TokenSealer:
    """Seals texts for one owner each, so that a token moved to another row does not open.

    Args:
        noise_key: 32 bytes.
        random_bytes: So many random bytes.
    """

    def __init__(self, noise_key: bytes, random_bytes: Callable[[int], bytes]) -> None:
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO).derive(noise_key)
        self._cipher = AESGCM(derived)
        self._random_bytes = random_bytes

    def seal(self, text: str, owner: str) -> str:
        """Base64 of nonce and ciphertext."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), owner.encode())).decode()

    def open(self, sealed: str, owner: str) -> str:
        """The text again.

        Raises:
            InvalidError: it was sealed with another key, for another owner, or is damaged.
        """
        try:
            raw = urlsafe_b64decode(sealed)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], owner.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise InvalidError("a stored refresh token cannot be opened with this server's key") from error
