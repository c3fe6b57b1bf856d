"""The WebSocket variant's transport: binary messages carry the byte stream, their borders mean nothing.

Browsers and wasm clients cannot upgrade a POST. Such a connection costs two tasks (the aiohttp handler that
reads, and a writer), which is fine for the few there are.
"""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from coordinator.control.limits import ControlLimits
from coordinator.control.noise_stream import NoiseStream
from coordinator.telemetry.tasks import spawn


class WebSocketTransport:
    """What NoiseStream needs of a transport, over an aiohttp WebSocket."""

    def __init__(self, socket: web.WebSocketResponse, limits: ControlLimits) -> None:
        self._socket = socket
        self._limits = limits
        self._queue: list[bytes] = []
        self._queued = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._paused = False
        self._stream: NoiseStream | None = None
        self._writer: asyncio.Task[None] | None = None

    def write(self, data: bytes) -> None:
        """Queue one message."""
        if self._closing:
            return
        self._queue.append(data)
        self._queued += len(data)
        if not self._paused and self._stream is not None and self._queued > self._limits.write_high_water:
            self._paused = True
            self._stream.pause_writing()
        self._wake.set()

    def close(self) -> None:
        """Close after what is queued."""
        self._closing = True
        self._wake.set()

    def abort(self) -> None:
        """Drop what is queued and close."""
        self._queue.clear()
        self._queued = 0
        self._closing = True
        if self._writer is not None:
            # The writer may be waiting for a peer that never reads.
            self._writer.cancel()

    def is_closing(self) -> bool:
        """Whether closing has begun."""
        return self._closing

    def get_write_buffer_size(self) -> int:
        """Bytes not yet handed to aiohttp."""
        return self._queued

    async def run(self, stream: NoiseStream) -> None:
        """Carry bytes both ways until either side closes; then tell the stream."""
        self._stream = stream
        error: Exception | None = None
        self._writer = spawn("control websocket writer", self._write_all())
        reader = spawn("control websocket reader", self._read_all(stream))
        try:
            await asyncio.wait((self._writer, reader), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._closing = True
            for task in (self._writer, reader):
                task.cancel()
            outcomes = await asyncio.gather(self._writer, reader, return_exceptions=True)
            error = next((outcome for outcome in outcomes if isinstance(outcome, Exception)), None)
            stream.connection_lost(error)

    async def _read_all(self, stream: NoiseStream) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.BINARY:
                return
            stream.data_received(message.data)

    async def _write_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            queue, self._queue = self._queue, []
            for data in queue:
                await self._socket.send_bytes(data)
                self._queued -= len(data)
            drained = self._queued <= self._limits.write_high_water // 4
            if self._paused and drained and self._stream is not None:
                self._paused = False
                self._stream.resume_writing()
            if self._closing and not self._queue:
                return
