"""The opening of a DERP connection: who the relay is, who the client is, what they agree on.

    relay   ServerKey   magic, relay's public key
    client  ClientInfo  node key, nonce, box(JSON): opening the box proves that the client holds the node key
    relay   ServerInfo  nonce, box(JSON)

Payloads only; `frames` wraps them, `session` decides when. Both directions are here: the tests' client uses
the other half.
Source: tailscale derp/derp_client.go (sendClientKey, parseServerInfo) and derp/derpserver (recvClientKey).
"""

from dataclasses import dataclass

import msgspec

from derp.box import NONCE_LENGTH, OVERHEAD, Box
from derp.frames import MAGIC, RemoteProtocolError

__all__ = [
    "PROTOCOL_VERSION",
    "ClientHello",
    "ClientInfo",
    "ServerInfo",
    "open_client_info",
    "open_server_info",
    "parse_server_key",
    "seal_client_info",
    "seal_server_info",
]

PROTOCOL_VERSION = 2
"""The version in which RecvPacket carries the source key. All clients since 2020 speak it."""

_KEY_LENGTH = 32
_MIN_CLIENT_INFO = _KEY_LENGTH + NONCE_LENGTH + OVERHEAD


class ClientInfo(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a client says of itself. Unknown fields are ignored."""

    version: int = 0
    mesh_key: str = msgspec.field(default="", name="meshKey")
    can_ack_pings: bool = msgspec.field(default=False, name="CanAckPings")
    is_prober: bool = msgspec.field(default=False, name="IsProber")


class ServerInfo(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What the relay says of itself. The token bucket, in bytes, asks the client to drop beyond it; 0 = no
    limit."""

    version: int = 0
    token_bucket_bytes_per_second: int = msgspec.field(default=0, name="TokenBucketBytesPerSecond")
    token_bucket_bytes_burst: int = msgspec.field(default=0, name="TokenBucketBytesBurst")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHello:
    """An opened ClientInfo: the proven node key (32 bytes), what it said, and the box for the answer."""

    node_key: bytes
    info: ClientInfo
    box: Box


def open_client_info(payload: bytes, *, private_key: bytes) -> ClientHello:
    """Prove a client's node key.

    Args:
        payload: of the ClientInfo frame; its length has been limited from the header.
        private_key: the relay's, 32 bytes.
    Raises:
        RemoteProtocolError: too short, sealed with another key, or not the JSON expected.
    """
    if len(payload) < _MIN_CLIENT_INFO:
        raise RemoteProtocolError(f"ClientInfo has at least {_MIN_CLIENT_INFO} bytes, got {len(payload)}")
    node_key = payload[:_KEY_LENGTH]
    nonce = payload[_KEY_LENGTH : _KEY_LENGTH + NONCE_LENGTH]
    box = Box(private_key=private_key, public_key=node_key)
    text = box.open(payload[_KEY_LENGTH + NONCE_LENGTH :], nonce)
    try:
        info = msgspec.json.decode(text, type=ClientInfo)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # Anybody can seal anything with a key made up on the spot, so the JSON is as hostile as the rest.
        raise RemoteProtocolError(f"ClientInfo is not the JSON expected: {error}") from None
    return ClientHello(node_key=node_key, info=info, box=box)


def seal_server_info(box: Box, nonce: bytes) -> bytes:
    """The ServerInfo payload. `nonce` is 24 fresh random bytes."""
    return nonce + box.seal(msgspec.json.encode(ServerInfo(version=PROTOCOL_VERSION)), nonce)


def seal_client_info(info: ClientInfo, *, node_key: bytes, box: Box, nonce: bytes) -> bytes:
    """The client's half: the ClientInfo payload. `nonce` is 24 fresh random bytes."""
    return node_key + nonce + box.seal(msgspec.json.encode(info), nonce)


def open_server_info(payload: bytes, box: Box) -> ServerInfo:
    """The client's half: what the relay says of itself.

    Raises:
        RemoteProtocolError: too short, sealed with another key, or not the JSON expected.
    """
    text = box.open(payload[NONCE_LENGTH:], payload[:NONCE_LENGTH])
    try:
        return msgspec.json.decode(text, type=ServerInfo)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"ServerInfo is not the JSON expected: {error}") from None


def parse_server_key(payload: bytes) -> bytes:
    """The client's half: the relay's public key, 32 bytes. What follows it is for newer clients.

    Raises:
        RemoteProtocolError: no magic, or too short.
    """
    if payload[: len(MAGIC)] != MAGIC or len(payload) < len(MAGIC) + _KEY_LENGTH:
        raise RemoteProtocolError("ServerKey does not begin with the magic and a key")
    return payload[len(MAGIC) : len(MAGIC) + _KEY_LENGTH]
