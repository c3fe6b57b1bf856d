"""HTTP/2 of one connection: `h2` for the protocol, our own path for DATA.

Turns events into requests, one task each, and lets responses out as windows and transport permit. An idle
connection, also one with an open map stream, holds no task and no timer. Made by `h2_server` for every
channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

import structlog
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from coordinator.control.data_frames import DataFrames
from coordinator.control.exchange import Headers, Peer, Request, ResponseStream, StreamClosedError
from coordinator.control.limits import ControlLimits
from coordinator.control.noise_stream import NoiseStream
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

Handler = Callable[[Request, ResponseStream], Awaitable[None]]

DEFAULT_WINDOW = 65_535
"""Size of the inbound connection window that HTTP/2 begins with; only WINDOW_UPDATE can widen it."""


@dataclass(slots=True, eq=False)
class Exchange:
    """One stream under way."""

    request: Request
    response: ResponseStream
    task: asyncio.Task[None] | None = None


class ControlConnection:
    """The server's side of one connection."""

    def __init__(
        self,
        *,
        stream: NoiseStream,
        peer: Peer,
        handler: Handler,
        limits: ControlLimits,
        name: str,
        on_end: Callable[[ControlConnection], None],
    ) -> None:
        self.peer = peer
        self.requests = 0
        self._stream = stream
        self._handler = handler
        self._limits = limits
        self._name = name
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._opened = self._loop.time()
        self._exchanges: dict[int, Exchange] = {}
        self._blocked: set[ResponseStream] = set()
        self._flush_planned = False
        self._resets = 0
        self._resets_since = self._opened
        self._stuck_timer: asyncio.TimerHandle | None = None
        self._preface_timer: asyncio.TimerHandle | None = self._loop.call_later(
            limits.preface_deadline, self._never_spoke
        )
        self.send_chunk = limits.send_chunk
        self._h2 = _new_h2(limits)

    def opening(self) -> bytes:
        """The first plaintext, so that it can leave in one write with the handshake's answer."""
        return self._h2.data_to_send()

    @property
    def open_streams(self) -> int:
        """Requests that are not answered to their end, map streams among them."""
        return len(self._exchanges)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Handlers that still run; an open map stream has none."""
        return [exchange.task for exchange in self._exchanges.values() if exchange.task is not None]

    # from the Noise stream

    def data_received(self, data: bytes) -> None:
        """Plaintext of the client."""
        if self._preface_timer is not None:
            self._preface_timer.cancel()
            self._preface_timer = None
        try:
            for event in self._h2.receive_data(data):
                self._handle(event)
        except H2Error as error:
            # h2 has a GOAWAY ready that names the error.
            self._flush()
            self._stream.close(f"HTTP/2 error: {error}")
            return
        self._flush()

    def writable(self) -> None:
        """The transport's buffer has drained."""
        self._pump_all()

    def connection_lost(self, reason: str) -> None:
        """The end, told in one line."""
        for timer in (self._preface_timer, self._stuck_timer):
            if timer is not None:
                timer.cancel()
        self._preface_timer = self._stuck_timer = None
        open_streams = len(self._exchanges)
        self._blocked.clear()
        for stream_id in list(self._exchanges):
            self._stream_died(stream_id)
        log.debug(
            "control connection ended",
            connection=self._name,
            remote=self.peer.remote,
            machine_key=self.peer.machine_key,
            capability_version=self.peer.version,
            seconds=round(self._loop.time() - self._opened, 3),
            requests=self.requests,
            open_streams=open_streams,
            bytes_in=self._stream.bytes_in,
            bytes_out=self._stream.bytes_out,
            reason=reason,
        )
        # The library's table of its own bound methods would keep it alive until a full collection.
        self._h2._frame_dispatch_table.clear()
        self._on_end(self)

    # from the server

    def close(self, reason: str) -> None:
        """GOAWAY, and close after what is written; unfinished answers are cut off."""
        if self._stream.closing:
            return
        self._h2.close_connection(ErrorCodes.NO_ERROR)
        self._flush()
        self._stream.close(reason)

    def abort(self, reason: str) -> None:
        """Close at once."""
        self._stream.abort(reason)

    # events

    def _handle(self, event: events.Event) -> None:
        match event:
            case events.RequestReceived():
                self._begin(event)
            case events.DataReceived():
                # Credit goes back for every byte read, also of streams we no longer know: a client whose
                # connection window runs dry is stuck for good.
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._body(event.stream_id, event.data)
            case events.StreamEnded():
                exchange = self._exchanges.get(event.stream_id)
                if exchange is not None:
                    exchange.request.finish()
            case events.StreamReset():
                self._count_reset()
                self._stream_died(event.stream_id)
            case events.WindowUpdated() | events.RemoteSettingsChanged():
                self._pump_all()
            case events.ConnectionTerminated():
                if not self._exchanges:
                    self._stream.close("closed by the client")

    def _begin(self, event: events.RequestReceived) -> None:
        stream_id = event.stream_id
        fields: dict[str, str] = {}
        for name, value in event.headers:
            fields.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        target = fields.pop(":path", "/")
        path, _, query = target.partition("?")
        self.requests += 1
        request = Request(
            method=fields.pop(":method", "GET"),
            path=path,
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers=fields,
            peer=self.peer,
            request_id=f"{self._name}-{stream_id}",
            limit=self._limits.max_body,
        )
        exchange = Exchange(request, ResponseStream(self, stream_id))
        self._exchanges[stream_id] = exchange
        exchange.task = spawn(f"control {request.method} {path}", self._run(exchange))

    def _body(self, stream_id: int, data: bytes) -> None:
        exchange = self._exchanges.get(stream_id)
        if exchange is None:
            return
        exchange.request.feed(data)
        # Counting all of them is cheap where it matters: requests are few and their bodies short-lived.
        held = sum(other.request.held for other in self._exchanges.values())
        if held > self._limits.max_buffered_bodies:
            self._h2.reset_stream(stream_id, ErrorCodes.ENHANCE_YOUR_CALM)
            self._stream_died(stream_id)

    def _count_reset(self) -> None:
        now = self._loop.time()
        if now - self._resets_since > 60:
            self._resets, self._resets_since = 0, now
        self._resets += 1
        if self._resets > self._limits.max_resets_per_minute:
            self._stream.abort("too many streams reset")

    def _stream_died(self, stream_id: int) -> None:
        exchange = self._exchanges.pop(stream_id, None)
        if exchange is None:
            return
        self._blocked.discard(exchange.response)
        exchange.request.abandon()
        exchange.response.lost()
        if exchange.task is not None:
            exchange.task.cancel()

    def _never_spoke(self) -> None:
        self._preface_timer = None
        self._stream.abort("nothing came after the handshake")

    # requests

    async def _run(self, exchange: Exchange) -> None:
        request, response = exchange.request, exchange.response
        try:
            await self._handler(request, response)
            if not response.detached and not response.closed:
                if response.head_sent:
                    await response.finish()
                else:
                    log.error("request left without an answer", request_id=request.request_id)
                    await self._fail(request, response)
        except StreamClosedError:
            log.debug("request abandoned", request_id=request.request_id, path=request.path)
        except Exception:
            log.exception("request failed", request_id=request.request_id, path=request.path)
            await self._fail(request, response)
        finally:
            exchange.task = None

    async def _fail(self, request: Request, response: ResponseStream) -> None:
        """A 500 that says nothing but where to look; a reset when part of another answer is out."""
        if response.closed:
            return
        if response.head_sent:
            # Detached streams have an owner, who did not ask for this and has to hear of it.
            response.lost()
            self.reset_stream(response.stream_id, ErrorCodes.INTERNAL_ERROR)
            return
        try:
            await response.send_head(500, {"content-type": "text/plain; charset=utf-8"})
            await response.send(f"internal error, request {request.request_id}\n".encode())
            await response.finish()
        except StreamClosedError:
            log.debug("request abandoned", request_id=request.request_id, path=request.path)

    # the Outlet of responses

    def send_headers(self, stream_id: int, headers: Headers) -> DataFrames:
        """Queue HEADERS; they leave with what follows in this turn of the loop."""
        try:
            self._h2.send_headers(stream_id, headers)
        except H2Error as error:
            raise StreamClosedError(str(error)) from error
        self._plan_flush()
        return DataFrames(self._h2, stream_id)

    def write_frames(self, frames: bytes) -> None:
        """Write DATA, behind what `h2` has queued, in one write."""
        queued = self._h2.data_to_send()
        self._stream.write(queued + frames if queued else frames)

    def can_write(self) -> bool:
        """Whether the transport is below its high-water mark."""
        return not self._stream.paused

    def blocked(self, response: ResponseStream) -> None:
        """Try again when a window or the transport opens; drop the connection if that takes too long."""
        self._blocked.add(response)
        if self._stuck_timer is None:
            self._stuck_timer = self._loop.call_later(self._limits.stuck_after, self._look_for_stuck)

    def end_stream(self, stream_id: int) -> None:
        """END_STREAM; when the client is still sending, it is told to stop."""
        exchange = self._exchanges.pop(stream_id, None)
        try:
            self._h2.end_stream(stream_id)
            if exchange is not None and not exchange.request.ended:
                self._h2.reset_stream(stream_id, ErrorCodes.NO_ERROR)
        except H2Error as error:
            raise StreamClosedError(str(error)) from error
        self._plan_flush()

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """RST_STREAM. The handler, if it still runs and is not the caller, is cancelled."""
        exchange = self._exchanges.pop(stream_id, None)
        if exchange is None:
            return
        self._blocked.discard(exchange.response)
        exchange.request.abandon()
        if exchange.task is not None and exchange.task is not asyncio.current_task():
            exchange.task.cancel()
        try:
            self._h2.reset_stream(stream_id, error_code)
        except H2Error as error:
            log.debug("stream was closed already", request_id=exchange.request.request_id, reason=str(error))
        self._plan_flush()

    # writing

    def _pump_all(self) -> None:
        for response in list(self._blocked):
            if response.pump():
                self._blocked.discard(response)
        if not self._blocked and self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None

    def _look_for_stuck(self) -> None:
        self._stuck_timer = None
        if not self._blocked:
            return
        now = self._loop.time()
        oldest = min(response.progress for response in self._blocked)
        left = oldest + self._limits.stuck_after - now
        if left <= 0:
            self._stream.abort("the client does not read")
        else:
            self._stuck_timer = self._loop.call_later(left, self._look_for_stuck)

    def _plan_flush(self) -> None:
        # HEADERS, a small body and END_STREAM of one answer then share a record and a write.
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        data = self._h2.data_to_send()
        if data:
            self._stream.write(data)


def _new_h2(limits: ControlLimits) -> H2Connection:
    # Headers as bytes: a name or value that is not UTF-8 must not be able to raise out of h2.
    connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
    connection.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.MAX_CONCURRENT_STREAMS: limits.max_concurrent_streams,
            SettingCodes.INITIAL_WINDOW_SIZE: limits.initial_stream_window,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_header_list,
        },
    )
    connection.decoder.max_header_list_size = limits.max_header_list
    connection.initiate_connection()
    connection.increment_flow_control_window(limits.connection_window - DEFAULT_WINDOW)
    return connection
