"""Preshared keys at rest: encrypted, so that a copy of the database alone says none of them.

AES-256-GCM under a key derived from the server's Noise key, with peer and public key as associated data: a
sealed value does not open in another row, nor beside another key. In memory a peer has its preshared keys in
the clear, as its gateway has to be told them; they are sealed on the way into the store and opened on the way
out. What does not open, since the Noise key is another one, stays as it is: with the former Noise key back it
opens again, and until then the peer says of itself that its key cannot be read (`PeerKey.unreadable`).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from coordinator.tailnet.errors import InvalidError
from coordinator.wireguard.model import Peer, PeerKey, Record

PURPOSE = "wireguard preshared keys"
"""Names the key among those derived from the Noise key."""
_NONCE_BYTES = 12
_VERSION = "1."


class PresharedKeySeal:
    """Seals the preshared keys of records on their way to the database, and opens them on the way back.

    Args:
        key: 32 bytes.
        random_bytes: So many random bytes.
    """

    def __init__(self, key: bytes, random_bytes: Callable[[int], bytes]) -> None:
        self._cipher = AESGCM(key)
        self._random_bytes = random_bytes

    def seal(self, record: Record) -> Record:
        """The record as it is stored, without any preshared key in the clear."""
        if not isinstance(record, Peer):
            return record
        return replace(record, keys=tuple(self._seal(record.key, key) for key in record.keys))

    def open(self, record: Record) -> Record:
        """The record as it is used. A key that does not open is left sealed; nothing is raised."""
        if not isinstance(record, Peer):
            return record
        return replace(record, keys=tuple(self._open(record.key, key) for key in record.keys))

    def _seal(self, owner: str, key: PeerKey) -> PeerKey:
        if not key.preshared_key:
            return key
        nonce = self._random_bytes(_NONCE_BYTES)
        raw = nonce + self._cipher.encrypt(nonce, key.preshared_key.encode(), _bound_to(owner, key))
        text = _VERSION + urlsafe_b64encode(raw).decode()
        return replace(key, preshared_key="", preshared_sealed=text)

    def _open(self, owner: str, key: PeerKey) -> PeerKey:
        if not key.preshared_sealed.startswith(_VERSION):
            return key
        try:
            raw = urlsafe_b64decode(key.preshared_sealed.removeprefix(_VERSION))
            opened = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound_to(owner, key))
        except (InvalidTag, ValueError):
            return key
        return replace(key, preshared_key=opened.decode(), preshared_sealed="")


def has_plain(record: Record) -> bool:
    """Whether a record holds a preshared key in the clear."""
    return isinstance(record, Peer) and any(key.preshared_key for key in record.keys)


def require_none(record: Record) -> Record:
    """For a store without a seal: the record, if it has nothing to seal.

    Raises:
        InvalidError: it has a preshared key, which must not be stored in the clear.
    """
    if has_plain(record):
        raise InvalidError(f"{record.key} has a preshared key, and this store has no key to seal it with")
    return record


def _bound_to(owner: str, key: PeerKey) -> bytes:
    return f"{owner}\n{key.public_key}".encode()
