"""One connection with its transport: bytes to the session, its events to deeds, the send queue to the
transport.

Protocol callbacks only. The one task is the decision whether to admit, and it ends with the handshake. A
packet takes this way within one turn of the loop:

    data_received > session.receive_data > registry.route > deliver (of the destination) > queue

and the destination's `_flush`, once per turn, joins what is queued into one write. `upgrade` and `websocket`
create connections and give them their transport.
"""

import asyncio
import contextlib
import secrets
import socket
from dataclasses import dataclass, field
from typing import Any, Protocol, assert_never

import structlog

from derp import frames
from derp.admission import Admission
from derp.box import NONCE_LENGTH
from derp.frames import PeerGoneReason, RemoteProtocolError
from derp.keepalive import KeepAliveWheel
from derp.keys import short_form
from derp.limits import Limits, TokenBucket
from derp.metrics import Stats
from derp.registry import Client, Registry
from derp.send_queue import DropReason, SendQueue
from derp.session import ClientIntroduced, Event, HomeNoted, PacketSent, PingReceived, Session
from derp.tasks import TaskSet

__all__ = ["Connection", "RelayContext", "Transport"]

log = structlog.get_logger(__name__)


class Transport(Protocol):
    """The part of `asyncio.Transport` a connection uses; `websocket` brings its own."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def get_extra_info(self, name: str, default: Any = None) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayContext:
    """What all connections of one relay share."""

    private_key: bytes
    public_key: bytes
    admission: Admission
    limits: Limits
    stats: Stats
    registry: "Registry[Connection]"
    tasks: TaskSet
    wheel: KeepAliveWheel
    open: "set[Connection]" = field(default_factory=set)
    """Connections whose transport has not been lost yet, admitted or not."""
    all_gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the last of `open` leaves, cleared when one comes."""


class Connection(asyncio.Protocol):
    """The relay's end of one client connection.

    Args:
        source: the client's IP address, for admission and the log.
    """

    def __init__(self, relay: RelayContext, source: str) -> None:
        limits = relay.limits
        self._relay = relay
        self._source = source
        self._session = Session(private_key=relay.private_key, public_key=relay.public_key, limits=limits)
        self._queue = SendQueue(limits)
        self._peer_gone_bucket = TokenBucket(limits.peer_gone_rate, limits.peer_gone_burst)
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._transport: Transport | None = None
        self._client: Client[Connection] | None = None
        self.node_key: bytes | None = None
        """The proven key (32 bytes); None until then."""
        self._home = False
        self._ended = False
        self._flush_scheduled = False
        self._write_paused = False
        self._stuck_at = 0
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._packets_in = self._packets_out = self._bytes_in = self._bytes_out = 0

    def __repr__(self) -> str:
        key = short_form(self.node_key) if self.node_key else "unknown"
        return f"<Connection {key} from {self._source}, {self._session!r}, {len(self._queue)} frames queued>"

    # ---- life -------------------------------------------------------------------------------------------

    def begin(self, transport: Transport, head: bytes) -> None:
        """Take the transport over and speak first.

        Args:
            head: what goes before the first frame: the HTTP head, or nothing.
        """
        limits, stats = self._relay.limits, self._relay.stats
        self._transport = transport
        self._relay.open.add(self)
        self._relay.all_gone.clear()
        stats.accepted += 1
        stats.connections += 1
        stats.unauthenticated += 1
        transport.set_write_buffer_limits(high=limits.write_buffer)
        _tune(transport, limits)
        self._timers["handshake"] = self._loop.call_later(
            limits.handshake_deadline, self.end, "handshake_deadline"
        )
        transport.write(head + self._session.opening())

    def end(self, reason: str, detail: str | None = None) -> None:
        """End the connection: what is buffered is still sent, the queue is not. Any number of calls is fine.

        Args:
            reason: a constant, for the metric and the log.
            detail: what exactly happened, for the log.
        """
        if self._ended:
            return
        self._ended = True
        self._session.close()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._leave()
        self._relay.stats.dropped(DropReason.DISCONNECTED, self._queue.clear())
        self._relay.stats.ended(reason)
        if self._transport is not None:
            self._transport.close()
            # A peer that reads no more would keep a closed transport open for as long as it likes.
            self._timers["close"] = self._loop.call_later(
                self._relay.limits.close_deadline, self._transport.abort
            )
        log.info(
            "derp connection ended",
            source=self._source,
            node=short_form(self.node_key) if self.node_key else None,
            reason=reason,
            detail=detail,
            seconds=round(self._loop.time() - self._began_at, 3),
            packets_in=self._packets_in,
            packets_out=self._packets_out,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
        )

    def abort(self) -> None:
        """Cut the transport without sending what is buffered."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone (asyncio's callback)."""
        self.end("transport_error" if exc else "closed_by_client", repr(exc) if exc else None)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._transport is not None:
            self._transport = None
            self._relay.open.discard(self)
            self._relay.stats.connections -= 1
            if not self._relay.open:
                self._relay.all_gone.set()

    def _leave(self) -> None:
        """Undo what the connection means to others."""
        relay, stats = self._relay, self._relay.stats
        relay.wheel.remove(self)
        if self._client is not None:
            told = relay.registry.leave(self._client, self)
            self._client = None
            stats.told_gone("disconnected", told)
            stats.clients = len(relay.registry)
        elif self._transport is not None:
            stats.unauthenticated -= 1
        if self._home:
            self._home = False
            stats.home_connections -= 1

    # ---- in ---------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived (asyncio's callback)."""
        if self._ended:
            return
        self._bytes_in += len(data)
        self._relay.stats.bytes_received += len(data)
        try:
            events = self._session.receive_data(data)
        except RemoteProtocolError as error:
            self.end("protocol_violation", str(error))
            return
        if events:
            self._handle(events)

    def _handle(self, events: list[Event]) -> None:
        if self._client is not None:
            self._relay.registry.note_activity(self._client, self)
        for event in events:
            if isinstance(event, PacketSent):
                self._forward(event)
            elif isinstance(event, PingReceived):
                self._relay.stats.pings += 1
                self.notify(frames.pong(event.data))
            elif isinstance(event, HomeNoted):
                self._relay.stats.home_connections += event.home - self._home
                self._home = event.home
            elif isinstance(event, ClientIntroduced):
                self._introduce(event.node_key)
            else:
                assert_never(event)

    def _forward(self, event: PacketSent) -> None:
        relay, client = self._relay, self._client
        if client is None:
            # An earlier packet of the same read led to our own end.
            return
        self._packets_in += 1
        relay.stats.packets_received += 1
        disco = frames.is_disco(event.packet)
        if relay.registry.route(client, event.destination, event.packet, disco=disco):
            return
        relay.stats.dropped(DropReason.UNKNOWN_DESTINATION)
        # Only path discovery is told: the client then stops trying this way at once.
        if disco and self._peer_gone_bucket.take(self._loop.time()):
            relay.stats.told_gone("not_here")
            self.notify(frames.peer_gone(event.destination, PeerGoneReason.NOT_HERE))

    # ---- admission --------------------------------------------------------------------------------------

    def _introduce(self, node_key: bytes) -> None:
        self.node_key = node_key
        if self._transport is not None:
            self._transport.pause_reading()
        self._relay.tasks.spawn(f"derp admission of {short_form(node_key)}", self._decide(node_key))

    async def _decide(self, node_key: bytes) -> None:
        try:
            async with asyncio.timeout(self._relay.limits.admission_deadline):
                allowed = await self._relay.admission.admit(node_key, self._source)
        except Exception as error:  # noqa: BLE001
            # The outermost frame of the task: whatever goes wrong in somebody else's code means "no".
            self.end("admission_failed", repr(error))
            return
        if self._ended:
            return
        if allowed:
            self._admit(node_key)
        else:
            self.end("not_admitted")

    def _admit(self, node_key: bytes) -> None:
        relay, transport = self._relay, self._transport
        if transport is None:
            return
        try:
            server_info, events = self._session.admit(secrets.token_bytes(NONCE_LENGTH))
        except RemoteProtocolError as error:
            self.end("protocol_violation", str(error))
            return
        self._timers.pop("handshake").cancel()
        others = relay.registry.connections(node_key)
        self._client = relay.registry.join(node_key, self)
        relay.stats.unauthenticated -= 1
        relay.stats.clients = len(relay.registry)
        relay.wheel.add(self)
        transport.write(server_info)
        transport.resume_reading()
        for surplus in others[: len(others) + 1 - relay.limits.max_connections_per_key]:
            surplus.end("superseded")
        self._handle(events)

    # ---- out --------------------------------------------------------------------------------------------

    def deliver(self, frame: bytes, *, disco: bool) -> None:
        """Queue a RecvPacket frame, dropping the oldest of its kind when there is no room."""
        queue = self._queue
        if not self._write_paused and queue.is_full(disco=disco):
            # One read of a fast sender holds more packets than a queue: they are dropped only when the
            # transport, too, has had its fill.
            self._flush()
        dropped = queue.put_packet(frame, disco=disco)
        self._relay.stats.packets_forwarded += 1
        self._packets_out += 1
        if dropped is not None:
            self._relay.stats.dropped(dropped)
        self._schedule_flush()

    def notify(self, frame: bytes) -> None:
        """Queue a frame of our own."""
        if self._ended:
            return
        dropped = self._queue.put_control(frame)
        if dropped is not None:
            self._relay.stats.dropped(dropped)
        self._schedule_flush()

    def beat(self) -> None:
        """Once per keep-alive interval: the client gives up after two of silence."""
        self.notify(frames.KEEP_ALIVE)

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled and not self._write_paused:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_turn)

    def _flush_turn(self) -> None:
        self._flush_scheduled = False
        self._flush()

    def _flush(self) -> None:
        transport = self._transport
        if transport is None or self._ended:
            return
        queue, limit = self._queue, self._relay.limits.write_buffer
        while queue and not self._write_paused:
            data = b"".join(queue.take(limit - transport.get_write_buffer_size()))
            self._bytes_out += len(data)
            self._relay.stats.bytes_sent += len(data)
            transport.write(data)

    def pause_writing(self) -> None:
        """The transport's buffer is full (asyncio's callback)."""
        self._write_paused = True
        if self._transport is not None and not self._ended:
            self._watch_progress(self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """There is room in the transport's buffer again (asyncio's callback)."""
        self._write_paused = False
        if (timer := self._timers.pop("write", None)) is not None:
            timer.cancel()
        self._schedule_flush()

    def _watch_progress(self, size: int) -> None:
        self._stuck_at = size
        self._timers["write"] = self._loop.call_later(self._relay.limits.write_deadline, self._check_progress)

    def _check_progress(self) -> None:
        if self._transport is None:
            return
        size = self._transport.get_write_buffer_size()
        if size < self._stuck_at:
            self._watch_progress(size)
            return
        self.end("write_deadline", f"{size} bytes unsent")
        self.abort()


def _tune(transport: Transport, limits: Limits) -> None:
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # A client may have vanished between the upgrade and here; reading or writing will say so.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(limits.dead_peer_timeout * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
