"""Transport records: ChaCha20-Poly1305 with a big-endian counter, at most 4096 bytes each.

The nonce is four zero bytes and a big-endian u64 that starts at 0 in each direction. (The Noise specification
says little-endian; record 0 is the same in both, record 1 is not.) Records only cut a byte stream into
pieces; they carry no meaning.

Source: tailscale control/controlbase/conn.go.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from coordinator.noise.errors import LocalProtocolError, RemoteProtocolError
from coordinator.noise.messages import (
    HEADER_BYTES,
    MAX_PLAINTEXT_BYTES,
    TAG_BYTES,
    pack_record_header,
    parse_record_header,
)

MAX_COUNTER = (1 << 64) - 1
"""Never used; a connection that got there would have sent 75 exabytes."""


class Sealer:
    """Outgoing direction."""

    def __init__(self, key: bytes) -> None:
        self._encrypt = ChaCha20Poly1305(key).encrypt
        self._counter = 0

    def seal(self, data: bytes) -> bytes:
        """One or more records for `data`, joined; nothing for nothing.

        Raises:
            LocalProtocolError: the counter is used up.
        """
        if len(data) <= MAX_PLAINTEXT_BYTES:
            return self._record(data) if data else b""
        pieces = []
        for start in range(0, len(data), MAX_PLAINTEXT_BYTES):
            pieces.append(self._record(data[start : start + MAX_PLAINTEXT_BYTES]))
        return b"".join(pieces)

    def _record(self, plaintext: bytes) -> bytes:
        counter = self._counter
        if counter >= MAX_COUNTER:
            raise LocalProtocolError("this connection has no nonces left")
        self._counter = counter + 1
        ciphertext = self._encrypt(counter.to_bytes(12, "big"), plaintext, None)
        return pack_record_header(len(plaintext) + TAG_BYTES) + ciphertext


class Opener:
    """Incoming direction: any pieces of a stream in, plaintext out."""

    def __init__(self, key: bytes) -> None:
        self._decrypt = ChaCha20Poly1305(key).decrypt
        self._counter = 0
        self._buffer = bytearray()

    def receive(self, data: bytes) -> bytes:
        """Plaintext of every record that is complete now; at most one incomplete record is kept.

        Raises:
            RemoteProtocolError: a malformed or forged record; the connection is dead.
        """
        self._buffer += data
        plain: list[bytes] = []
        position = 0
        while len(self._buffer) - position >= HEADER_BYTES:
            length = parse_record_header(self._buffer, position)
            end = position + HEADER_BYTES + length
            if len(self._buffer) < end:
                break
            ciphertext = bytes(self._buffer[position + HEADER_BYTES : end])
            try:
                plain.append(self._decrypt(self._counter.to_bytes(12, "big"), ciphertext, None))
            except InvalidTag:
                raise RemoteProtocolError("a record does not verify") from None
            self._counter += 1
            position = end
        if position:
            del self._buffer[:position]
        return b"".join(plain)
