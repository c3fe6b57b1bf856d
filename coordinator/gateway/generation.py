"""The kernel's count of committed nftables transactions: one small question that says whether rules
changed at all.

Listing the rules of thousands of peers every other second would cost more than everything else here.
Message: netlink header (length, type, flags, sequence, port), then family, version, resource id; the answer
carries the number as attribute 1, big-endian. Source: linux/netfilter/nf_tables.h, NFT_MSG_GETGEN.
"""

from __future__ import annotations

import errno
import socket
import struct

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 10 << 8
_GETGEN = _SUBSYSTEM | 16
_NEWGEN = _SUBSYSTEM | 15
_REQUEST = 1
_HEADERS = struct.Struct("=IHHIIBBH")
_ATTRIBUTE = struct.Struct("=HH")
_GEN_ID = 1
_TIMEOUT_S = 1.0
# NFNLGRP_NFTABLES, as a bit.
_GROUP = 1 << (7 - 1)
_READ_BYTES = 1 << 16


def generation() -> int | None:
    """The number of the last transaction in this network namespace; None when the kernel does not say."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as channel:
            channel.settimeout(_TIMEOUT_S)
            channel.send(_HEADERS.pack(_HEADERS.size, _GETGEN, _REQUEST, 1, 0, 0, 0, 0))
            return parse(channel.recv(4096))
    except OSError:
        return None


def notices() -> socket.socket | None:
    """A socket that becomes readable when somebody commits rules; None when the kernel does not let us.

    What is written there says nothing that `generation` and a list do not say better: `drain` it.
    """
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER)
    try:
        channel.bind((0, _GROUP))
    except OSError:
        channel.close()
        return None
    return channel


def drain(channel: socket.socket) -> None:
    """Read away what has come."""
    while True:
        try:
            channel.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            # Too many to keep: some are lost, and the rest is still to be read.
            if error.errno != errno.ENOBUFS:
                raise


def parse(answer: bytes) -> int | None:
    """The number in an answer; None when it is an error or something else."""
    if len(answer) < _HEADERS.size:
        return None
    length, kind, *_ = _HEADERS.unpack_from(answer)
    if kind != _NEWGEN:
        return None
    offset, end = _HEADERS.size, min(length, len(answer))
    while offset + _ATTRIBUTE.size + 4 <= end:
        size, name = _ATTRIBUTE.unpack_from(answer, offset)
        if name == _GEN_ID:
            number: int = struct.unpack_from("!I", answer, offset + _ATTRIBUTE.size)[0]
            return number
        offset += max(_ATTRIBUTE.size, (size + 3) & ~3)
    return None
