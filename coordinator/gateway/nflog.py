"""Packets the kernel copies to this program: a netlink socket for one group of the `log` statement of nft.

Messages: netlink header (length, type, flags, sequence, port), then family, version and the group as resource
id (big-endian), then attributes (length, type, value, padded to four bytes). Source: linux/netfilter/
nfnetlink_log.h. The payload of a packet begins with its IP header. Needs CAP_NET_ADMIN.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

from coordinator.gateway.packets import Datagram, datagram
from coordinator.gateway.rules import KNOCK_BYTES, KNOCK_GROUP

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 4 << 8
_PACKET = _SUBSYSTEM | 0
_CONFIG = _SUBSYSTEM | 1
_ERROR = 2
_REQUEST_AND_ACK = 1 | 4
_HEADERS = struct.Struct("=IHHIIBBH")
_ATTRIBUTE = struct.Struct("=HH")
_CONFIG_COMMAND, _CONFIG_MODE, _CONFIG_THRESHOLD = 1, 2, 5
_BIND = b"\x01"
_COPY_PACKET = 2
_PAYLOAD = 9
_TIMEOUT_S = 1.0
_BUFFER_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_READS = 256


def listen(group: int = KNOCK_GROUP) -> socket.socket:
    """A socket that becomes readable when packets of the group are there: `receive` them.

    Raises:
        OSError: the kernel has no such log, somebody else has the group (EBUSY), or CAP_NET_ADMIN is missing.
    """
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    try:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        channel.bind((0, 0))
        channel.settimeout(_TIMEOUT_S)
        channel.send(_bind(group))
        code = _answer(channel.recv(_READ_BYTES))
        if code:
            raise OSError(code, os.strerror(code))
        channel.setblocking(False)
    except BaseException:
        channel.close()
        raise
    return channel


def receive(channel: socket.socket) -> Iterator[Datagram]:
    """What has come, at most a few hundred reads: others on the loop want their turn."""
    for _ in range(_READS):
        try:
            messages = channel.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            # Too many to keep: some are lost, and the rest is still to be read.
            if error.errno != errno.ENOBUFS:
                raise
            continue
        for payload in payloads(messages):
            found = datagram(payload)
            if found is not None:
                yield found


def payloads(messages: bytes) -> Iterator[bytes]:
    """The packets in what was read from the socket; what has another form is left out."""
    start = 0
    while start + _HEADERS.size <= len(messages):
        length, kind, *_ = _HEADERS.unpack_from(messages, start)
        if length < _HEADERS.size:
            return
        if kind == _PACKET:
            yield from _payload(messages[start + _HEADERS.size : start + length])
        start += (length + 3) & ~3


def _bind(group: int) -> bytes:
    body = b"".join(
        _attribute(kind, value)
        for kind, value in (
            (_CONFIG_COMMAND, _BIND),
            (_CONFIG_MODE, struct.pack("!IBx", KNOCK_BYTES, _COPY_PACKET)),
            # One packet, one message, at once.
            (_CONFIG_THRESHOLD, struct.pack("!I", 1)),
        )
    )
    size = _HEADERS.size + len(body)
    return _HEADERS.pack(size, _CONFIG, _REQUEST_AND_ACK, 1, 0, 0, 0, socket.htons(group)) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _answer(message: bytes) -> int:
    """The error number in an acknowledgement; 0 when it worked."""
    if len(message) < _HEADERS.size:
        return errno.EPROTO
    _, kind, *_ = _HEADERS.unpack_from(message)
    if kind != _ERROR:
        return 0 if kind == _PACKET else errno.EPROTO
    code: int = struct.unpack_from("=i", message, 16)[0]
    return -code


def _payload(attributes: bytes) -> Iterator[bytes]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(attributes):
        size, kind = _ATTRIBUTE.unpack_from(attributes, offset)
        if kind == _PAYLOAD:
            yield attributes[offset + _ATTRIBUTE.size : offset + size]
        offset += max(_ATTRIBUTE.size, (size + 3) & ~3)
