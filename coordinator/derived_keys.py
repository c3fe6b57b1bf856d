"""Secret keys for single purposes, derived from the server's Noise key.

No further file has to be backed up, and servers that share the Noise key understand each other's signatures.
A new Noise key ends everything that was signed.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32


def derive_key(noise_key: bytes, purpose: str) -> bytes:
    """32 bytes that nobody can compute without the Noise key, and that say nothing about it.

    Args:
        noise_key: 32 bytes.
        purpose: What the key is for; each purpose has a key of its own.
    """
    info = f"coordinator key: {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(noise_key)
