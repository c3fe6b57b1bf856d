"""A byte stream over a Noise channel over a transport.

Carries bytes, knows no HTTP/2: the transport's bytes are opened and handed up, what comes down is sealed and
written. Made by `upgrade` after the handshake; driven from above by `h2_connection`.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol

from coordinator.control.limits import ControlLimits
from coordinator.noise.connection import NoiseConnection
from coordinator.noise.errors import LocalProtocolError, RemoteProtocolError


class Transport(Protocol):
    """The part of asyncio.Transport that is needed here; the WebSocket variant brings its own."""

    def write(self, data: bytes) -> None:
        """Queue bytes."""

    def close(self) -> None:
        """Close after what is queued."""

    def abort(self) -> None:
        """Close at once."""

    def is_closing(self) -> bool:
        """Whether closing has begun."""

    def get_write_buffer_size(self) -> int:
        """Bytes queued and not yet handed to the system."""


class Receiver(Protocol):
    """Who gets the plaintext."""

    def data_received(self, data: bytes) -> None:
        """Plaintext, never empty."""

    def writable(self) -> None:
        """The transport's buffer has room again."""

    def connection_lost(self, reason: str) -> None:
        """The stream is over; called once."""


class NoiseStream(asyncio.Protocol):
    """Both directions of one connection. Errors of the channel close it and are told as the reason."""

    def __init__(self, transport: Transport, noise: NoiseConnection) -> None:
        self._transport = transport
        self._noise = noise
        self._receiver: Receiver | None = None
        self._reason: str | None = None
        self._lost = False
        self.paused = False
        self.bytes_in = 0
        self.bytes_out = 0

    def start(self, receiver: Receiver) -> None:
        """Name the receiver; must happen in the same turn as the take-over of the transport."""
        self._receiver = receiver

    @property
    def buffered(self) -> int:
        """Bytes written that the system has not taken yet."""
        return self._transport.get_write_buffer_size()

    @property
    def closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._lost or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Seal and send; silently nothing once the connection is closing."""
        if self._lost or self._transport.is_closing():
            return
        sealed = self._noise.seal(data)
        self.bytes_out += len(sealed)
        self._transport.write(sealed)

    def write_raw(self, data: bytes) -> None:
        """Send what is not, or already, sealed: the answer to the handshake and what is corked with it."""
        self.bytes_out += len(data)
        self._transport.write(data)

    def close(self, reason: str) -> None:
        """Close after what was written; the first reason given is the one told."""
        self._reason = self._reason or reason
        self._transport.close()

    def abort(self, reason: str) -> None:
        """Close at once, for a peer that does not read."""
        self._reason = self._reason or reason
        self._transport.abort()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Open what came and hand it up."""
        if self._lost or self._reason is not None or self._receiver is None:
            return
        self.bytes_in += len(data)
        try:
            plaintext = self._noise.receive_data(data)
        except (LocalProtocolError, RemoteProtocolError) as error:
            self.abort(str(error))
            return
        if plaintext:
            self._receiver.data_received(plaintext)

    def eof_received(self) -> bool:
        """A half-closed control connection is of no use."""
        self._reason = self._reason or "closed by the client"
        return False

    def pause_writing(self) -> None:
        """The transport's buffer is above its high-water mark."""
        self.paused = True

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        self.paused = False
        if self._receiver is not None:
            self._receiver.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        if self._lost:
            return
        self._lost = True
        reason = self._reason or (f"lost: {exc}" if exc is not None else "closed by the client")
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            receiver.connection_lost(reason)


def watch_liveness(transport: asyncio.BaseTransport, limits: ControlLimits) -> None:
    """Have TCP notice a peer that vanished; no timer of ours per connection."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # A probe is not sent while data waits for its acknowledgement; for that case there is the user timeout.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in (
        ("TCP_KEEPIDLE", limits.tcp_keepalive_idle),
        ("TCP_KEEPINTVL", limits.tcp_keepalive_interval),
        ("TCP_KEEPCNT", limits.tcp_keepalive_probes),
        ("TCP_USER_TIMEOUT", int(limits.stuck_after * 1000)),
    ):
        number = getattr(socket, option, None)
        if number is not None:
            sock.setsockopt(socket.IPPROTO_TCP, number, value)
