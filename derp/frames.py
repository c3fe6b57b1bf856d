"""DERP frames: the byte table, one encoder per frame, and a reader that cuts a byte stream into frames.

A frame is a header of 5 bytes and a payload:

    0        type    u8
    1..4     length  u32 big-endian, of the payload

    01 ServerKey      relay  -> client  magic (8) + relay's public key (32); longer is allowed
    02 ClientInfo     client -> relay   node key (32) + nonce (24) + box of JSON
    03 ServerInfo     relay  -> client  nonce (24) + box of JSON
    04 SendPacket     client -> relay   destination key (32) + packet (up to 65536)
    05 RecvPacket     relay  -> client  source key (32) + packet
    06 KeepAlive      relay  -> client  empty
    07 NotePreferred  client -> relay   1 byte: 1 = this relay is my home
    08 PeerGone       relay  -> client  key (32) + reason (1)
    09 PeerPresent    relay  -> mesh    key (32) + address (16) + port (2) + flags (1)
    0a ForwardPacket  mesh   -> relay   source key (32) + destination key (32) + packet
    10 WatchConns     mesh   -> relay   empty
    11 ClosePeer      mesh   -> relay   key (32)
    12 Ping, 13 Pong  both ways         8 bytes, echoed
    14 Health         relay  -> client  UTF-8 text; empty = healthy
    15 Restarting     relay  -> client  u32 reconnect-in ms + u32 try-for ms

Types not listed are skipped by their length. Source: tailscale derp/derp.go. No I/O here; `session` gives the
frames their meaning.
"""

import struct
from collections.abc import Mapping
from enum import IntEnum

__all__ = [
    "DISCO_MAGIC",
    "DISCO_MIN_LENGTH",
    "HEADER_LENGTH",
    "KEEP_ALIVE",
    "MAGIC",
    "FrameReader",
    "FrameType",
    "LocalProtocolError",
    "PeerGoneReason",
    "RemoteProtocolError",
    "client_info",
    "encode",
    "is_disco",
    "note_preferred",
    "peer_gone",
    "ping",
    "pong",
    "recv_packet",
    "send_packet",
    "server_info",
    "server_key",
]

MAGIC = b"DERP\xf0\x9f\x94\x91"
"""Opens the ServerKey payload: `DERP` and a key symbol in UTF-8."""

HEADER_LENGTH = 5
_KEY_LENGTH = 32

DISCO_MAGIC = b"TS\xf0\x9f\x92\xac"
DISCO_MIN_LENGTH = 62
"""Magic (6), sender's disco key (32) and nonce (24). Source: tailscale disco/disco.go,
LooksLikeDiscoWrapper."""

_HEADER = struct.Struct(">BI")


class LocalProtocolError(Exception):
    """We are about to break the protocol: a mistake in the calling code."""


class RemoteProtocolError(Exception):
    """The other side broke the protocol. The connection is of no further use."""


class FrameType(IntEnum):
    """The first byte of a frame. See the table above."""

    SERVER_KEY = 0x01
    CLIENT_INFO = 0x02
    SERVER_INFO = 0x03
    SEND_PACKET = 0x04
    RECV_PACKET = 0x05
    KEEP_ALIVE = 0x06
    NOTE_PREFERRED = 0x07
    PEER_GONE = 0x08
    PEER_PRESENT = 0x09
    FORWARD_PACKET = 0x0A
    WATCH_CONNS = 0x10
    CLOSE_PEER = 0x11
    PING = 0x12
    PONG = 0x13
    HEALTH = 0x14
    RESTARTING = 0x15


class PeerGoneReason(IntEnum):
    """The last byte of PeerGone."""

    DISCONNECTED = 0
    NOT_HERE = 1


def encode(frame_type: int, *parts: bytes | memoryview) -> bytes:
    """One frame whose payload is `parts` joined."""
    return b"".join((_HEADER.pack(frame_type, sum(map(len, parts))), *parts))


def server_key(public_key: bytes) -> bytes:
    """ServerKey: the relay's first words. `public_key` has 32 bytes."""
    return encode(FrameType.SERVER_KEY, MAGIC, _key(public_key))


def client_info(payload: bytes) -> bytes:
    """ClientInfo around a payload made by `handshake.seal_client_info`."""
    return encode(FrameType.CLIENT_INFO, payload)


def server_info(payload: bytes) -> bytes:
    """ServerInfo around a payload made by `handshake.seal_server_info`."""
    return encode(FrameType.SERVER_INFO, payload)


def send_packet(destination: bytes, packet: bytes) -> bytes:
    """SendPacket: `packet` (up to 65536 bytes) for the node with key `destination`."""
    return encode(FrameType.SEND_PACKET, _key(destination), packet)


def recv_packet(source: bytes, packet: bytes | memoryview) -> bytes:
    """RecvPacket: `packet` that the node with key `source` (32 bytes) has sent. The one copy of
    forwarding."""
    return b"".join((_HEADER.pack(0x05, _KEY_LENGTH + len(packet)), source, packet))


KEEP_ALIVE = encode(FrameType.KEEP_ALIVE)


def note_preferred(home: bool) -> bytes:
    """NotePreferred: whether this relay is the client's home."""
    return encode(FrameType.NOTE_PREFERRED, b"\x01" if home else b"\x00")


def peer_gone(node_key: bytes, reason: PeerGoneReason) -> bytes:
    """PeerGone: the node with this key cannot be reached through this relay."""
    return encode(FrameType.PEER_GONE, _key(node_key), bytes([reason]))


def ping(data: bytes) -> bytes:
    """Ping with 8 bytes to be echoed."""
    return encode(FrameType.PING, data)


def pong(data: bytes) -> bytes:
    """Pong with the 8 bytes of the Ping."""
    return encode(FrameType.PONG, data)


def is_disco(packet: bytes | memoryview) -> bool:
    """Whether a packet is path discovery (rather than WireGuard), by its outer look alone."""
    return len(packet) >= DISCO_MIN_LENGTH and packet[:6] == DISCO_MAGIC


def _key(key: bytes) -> bytes:
    if len(key) != _KEY_LENGTH:
        raise LocalProtocolError(f"a key has {_KEY_LENGTH} bytes, got {len(key)}")
    return key


class FrameReader:
    """Cuts bytes, in pieces of any size, into frames.

    What it keeps is bounded by the largest ceiling and one piece. Payloads are views of immutable bytes: they
    stay valid, but keep the whole piece alive, so copy what is to be kept.

    Args:
        ceilings: payload ceiling by frame type; a longer one is refused from its header alone. May be
            replaced between frames. Types not in it are skipped.
        skip_ceiling: payload ceiling of skipped frames, which are never kept.
    """

    __slots__ = ("_data", "_needed", "_partial", "_position", "_skip", "_view", "ceilings", "skip_ceiling")

    def __init__(self, ceilings: Mapping[int, int], skip_ceiling: int) -> None:
        self.ceilings = ceilings
        self.skip_ceiling = skip_ceiling
        self._data = b""
        self._view = memoryview(b"")
        self._position = 0
        self._partial = bytearray()
        self._needed = HEADER_LENGTH
        self._skip = 0

    def __len__(self) -> int:
        """How many bytes are kept."""
        return len(self._data) - self._position + len(self._partial)

    def feed(self, data: bytes) -> None:
        """Add bytes from the wire; frames then come from `next_frame`."""
        if self._partial:
            self._partial += data
            if len(self._partial) < self._needed:
                # Not worth a copy yet: this keeps many small pieces of one frame linear.
                return
            data = bytes(self._partial)
            self._partial.clear()
        elif self._position < len(self._data):
            data = self._data[self._position :] + data
        self._data = data
        self._view = memoryview(data)
        self._position = 0

    def next_frame(self) -> tuple[int, memoryview] | None:
        """The next complete frame as type and payload, or None when more bytes are needed.

        Raises:
            RemoteProtocolError: a header announces more than the ceiling of its type.
        """
        data = self._data
        available = len(data)
        position = self._position
        while True:
            if self._skip:
                step = min(self._skip, available - position)
                self._skip -= step
                position += step
            start = position + HEADER_LENGTH
            if start > available:
                self._keep_from(position, HEADER_LENGTH)
                return None
            frame_type, length = _HEADER.unpack_from(data, position)
            ceiling = self.ceilings.get(frame_type)
            if ceiling is None:
                self._check(frame_type, length, self.skip_ceiling)
                self._skip = length
                position = start
                continue
            if length > ceiling:
                self._check(frame_type, length, ceiling)
            end = start + length
            if end > available:
                self._keep_from(position, HEADER_LENGTH + length)
                return None
            self._position = end
            return frame_type, self._view[start:end]

    def _keep_from(self, position: int, needed: int) -> None:
        self._partial += self._view[position:]
        self._needed = needed
        self._data = b""
        self._view = memoryview(b"")
        self._position = 0

    @staticmethod
    def _check(frame_type: int, length: int, ceiling: int) -> None:
        if length > ceiling:
            raise RemoteProtocolError(
                f"frame of type {frame_type:#04x} announces {length} bytes, at most {ceiling} are allowed"
            )
