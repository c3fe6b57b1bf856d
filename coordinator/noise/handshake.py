"""The responder's side of `Noise_IK_25519_ChaChaPoly_BLAKE2s`.

The prologue carries the client's version, so that it cannot be changed on the way. After the handshake the
library is done: its transport nonces are little-endian while this protocol's are big-endian, so records are
sealed by `records` with the two keys.

Source: tailscale control/controlbase/handshake.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseHandshakeError, NoiseInvalidMessage

from coordinator.noise.errors import RemoteProtocolError
from coordinator.noise.messages import Initiation, pack_response

PATTERN = b"Noise_IK_25519_ChaChaPoly_BLAKE2s"


def prologue(version: int) -> bytes:
    """What both sides mix in before anything else."""
    return f"Tailscale Control Protocol v{version}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """A finished handshake. `machine_key` is the client's static key, proven; keys are 32 bytes each."""

    version: int
    machine_key: bytes
    response: bytes
    receive_key: bytes
    send_key: bytes


def respond(private_key: bytes, initiation: Initiation) -> Handshake:
    """Answer an initiation.

    Args:
        private_key: The server's 32-byte X25519 key.
        initiation: As parsed.

    Raises:
        RemoteProtocolError: the initiation was not made for this key, or holds a point of low order.
    """
    connection = NoiseConnection.from_name(PATTERN)
    connection.set_prologue(prologue(initiation.version))
    connection.set_as_responder()
    connection.set_keypair_from_private_bytes(Keypair.STATIC, private_key)
    connection.start_handshake()
    try:
        connection.read_message(initiation.payload)
        # The library drops this state as soon as the handshake is complete.
        machine_key: bytes = connection.noise_protocol.handshake_state.rs.public_bytes
        payload = bytes(connection.write_message())
    except (InvalidTag, NoiseInvalidMessage, NoiseHandshakeError, ValueError) as error:
        raise RemoteProtocolError("the handshake does not verify") from error
    protocol = connection.noise_protocol
    finished = Handshake(
        version=initiation.version,
        machine_key=machine_key,
        response=pack_response(payload),
        receive_key=bytes(protocol.cipher_state_decrypt.k),
        send_key=bytes(protocol.cipher_state_encrypt.k),
    )
    # The library's objects refer to each other, and would wait for the cycle collector, secrets included.
    for part in (connection, protocol):
        vars(part).clear()
    return finished
