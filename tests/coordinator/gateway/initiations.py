"""Handshake initiations: two that wireguard-go sent, and a maker of others.

The maker uses another library than the code under test, and is held against wireguard-go by the two.
"""

import hashlib
import hmac
import os
from base64 import b64decode

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

GATEWAY = "sNqoPeYJDz1N4yDc/Tw3qSKdrzhAAy8DGcE95JQ01EI="
"""A private key, as are all of a gateway's."""
GATEWAY_PUBLIC = "kZvu2aUW/4HHF6mcih8DtPBNP+RG3Fq8xUm9x0vPmGM="
DEVICE = "80f0JH3RJVGtuwkleKQ+PNRlj238sNtleSha4YFeJjg="
# Debian's wireguard-go, with a preshared key, which takes no part in them, five seconds apart.
FIRST = bytes.fromhex(
    "01000000ba38f18cc9540704dfaf9e7b09a86e645c3d7d38d960e8977233e8c0820e4641"
    "b2186360e597fcde06788c6c214a5ad81720eeda4afac6d7e15c96acc2550004ccbf158a"
    "78ea522451dcfb48e619673965aff230805684e3c44b1e86b48e45de393a038afc4dcc90"
    "924439309b7ace833efeeef443ed8d5c97ddc749a8ff049c"
    "00000000000000000000000000000000"
)
SECOND = bytes.fromhex(
    "010000008fe2dfc7cb9b04cf677759634164ddc9dc658f367d882f118b260f35d012b776"
    "e1edfa1cf96abcd53571da7ff8b7323abf236028f92466a772738c65de14e24c1ff1faeb"
    "8a05d6d17371805e458a35ca95e62eef0f7f3f079ee1599970054b4d516f24db7de3c5e1"
    "7306968d549b802facc4ff6b08602d83e6ec9e990175aa4f"
    "00000000000000000000000000000000"
)


def public_of(private: bytes) -> bytes:
    """The public half."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def initiation(
    gateway: str, private: bytes, *, timestamp: bytes = b"\x40" + bytes(11), names: bytes = b""
) -> bytes:
    """The first message of a device to a gateway.

    Args:
        gateway: its public key.
        private: the device's key.
        timestamp: twelve bytes.
        names: somebody else's public key to lie with.
    """

    def hashed(*parts: bytes) -> bytes:
        return hashlib.blake2s(b"".join(parts)).digest()

    def mixed(chain: bytes, data: bytes) -> tuple[bytes, bytes]:
        secret = hmac.new(chain, data, hashlib.blake2s).digest()
        first = hmac.new(secret, b"\x01", hashlib.blake2s).digest()
        return first, hmac.new(secret, first + b"\x02", hashlib.blake2s).digest()

    def agreed(mine: bytes) -> bytes:
        return X25519PrivateKey.from_private_bytes(mine).exchange(
            X25519PublicKey.from_public_bytes(responder)
        )

    responder, ephemeral = b64decode(gateway), os.urandom(32)
    chain = hashed(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
    state = hashed(chain, b"WireGuard v1 zx2c4 Jason@zx2c4.com")
    state = hashed(state, responder)
    shown = public_of(ephemeral)
    chain, state = mixed(chain, shown)[0], hashed(state, shown)
    chain, key = mixed(chain, agreed(ephemeral))
    static = ChaCha20Poly1305(key).encrypt(bytes(12), names or public_of(private), state)
    state = hashed(state, static)
    chain, key = mixed(chain, agreed(private))
    stamp = ChaCha20Poly1305(key).encrypt(bytes(12), timestamp, state)
    message = b"\x01\x00\x00\x00" + os.urandom(4) + shown + static + stamp
    mac_key = hashed(b"mac1----", responder)
    return message + hashlib.blake2s(message, key=mac_key, digest_size=16).digest() + bytes(16)
