"""Byte layout of the handshake and of record headers. All integers are big-endian.

| message | bytes |
|---|---|
| initiation (client, 101) | u16 version, `01`, u16 96, 32 ephemeral, 48 encrypted static, 16 tag |
| response (server, 51) | `02`, u16 48, 32 ephemeral, 16 tag |
| error (server) | `03`, u16 n, n bytes of text |
| record (both) | `04`, u16 n, n bytes of ciphertext |

Source: tailscale control/controlbase/messages.go.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from coordinator.noise.errors import RemoteProtocolError

TYPE_INITIATION = 1
TYPE_RESPONSE = 2
TYPE_ERROR = 3
TYPE_RECORD = 4

INITIATION_BYTES = 101
INITIATION_PAYLOAD_BYTES = 96
RESPONSE_PAYLOAD_BYTES = 48
RESPONSE_BYTES = 51

HEADER_BYTES = 3
MAX_RECORD_BYTES = 4096
TAG_BYTES = 16
MAX_CIPHERTEXT_BYTES = MAX_RECORD_BYTES - HEADER_BYTES
MAX_PLAINTEXT_BYTES = MAX_CIPHERTEXT_BYTES - TAG_BYTES

_INITIATION_HEADER = struct.Struct(">HBH")
_HEADER = struct.Struct(">BH")


@dataclass(frozen=True, slots=True)
class Initiation:
    """The client's first message: its capability version and the Noise payload of 96 bytes."""

    version: int
    payload: bytes


def parse_initiation(data: bytes) -> Initiation:
    """Read an initiation.

    Raises:
        RemoteProtocolError: wrong length, type or inner length.
    """
    if len(data) != INITIATION_BYTES:
        raise RemoteProtocolError(f"handshake initiation has {len(data)} bytes, not {INITIATION_BYTES}")
    version, kind, length = _INITIATION_HEADER.unpack_from(data)
    if kind != TYPE_INITIATION or length != INITIATION_PAYLOAD_BYTES:
        raise RemoteProtocolError("handshake initiation has the wrong type or length")
    return Initiation(version, data[_INITIATION_HEADER.size :])


def pack_initiation(initiation: Initiation) -> bytes:
    """Write an initiation."""
    header = _INITIATION_HEADER.pack(initiation.version, TYPE_INITIATION, INITIATION_PAYLOAD_BYTES)
    return header + initiation.payload


def pack_response(payload: bytes) -> bytes:
    """Write the server's handshake message from its 48-byte Noise payload."""
    return _HEADER.pack(TYPE_RESPONSE, RESPONSE_PAYLOAD_BYTES) + payload


def parse_response(data: bytes) -> bytes:
    """The 48-byte Noise payload of a server's handshake message; RemoteProtocolError for anything else."""
    if len(data) != RESPONSE_BYTES:
        raise RemoteProtocolError(f"handshake response has {len(data)} bytes, not {RESPONSE_BYTES}")
    kind, length = _HEADER.unpack_from(data)
    if kind != TYPE_RESPONSE or length != RESPONSE_PAYLOAD_BYTES:
        raise RemoteProtocolError("handshake response has the wrong type or length")
    return data[HEADER_BYTES:]


def pack_record_header(ciphertext_length: int) -> bytes:
    """Header of a transport record."""
    return _HEADER.pack(TYPE_RECORD, ciphertext_length)


def parse_record_header(data: bytes | bytearray | memoryview, offset: int = 0) -> int:
    """Ciphertext length of the record that begins at `offset`.

    Raises:
        RemoteProtocolError: another type, or longer than a record may be, or too short to hold a tag.
    """
    kind, length = _HEADER.unpack_from(data, offset)
    if kind != TYPE_RECORD:
        raise RemoteProtocolError(f"message of type {kind} where a record was due")
    if not TAG_BYTES <= length <= MAX_CIPHERTEXT_BYTES:
        raise RemoteProtocolError(f"record with {length} bytes of ciphertext")
    return int(length)
