"""DERP inside WebSocket messages, for clients in a browser: the byte stream cut into binary messages.

Rare, so clarity goes before speed: two tasks per connection. `MessageTransport` looks to `connection` like
the transport of a socket. Called from `upgrade`.
Source: tailscale cmd/derper/websocket.go; the subprotocol is `derp`, without compression.
"""

import asyncio
from typing import Any

from aiohttp import WSMsgType, web

from derp.connection import Connection, RelayContext

__all__ = ["SUBPROTOCOL", "MessageTransport", "serve_websocket"]

SUBPROTOCOL = "derp"

_MAX_MESSAGE = 32_768
"""Bytes per message we send: what the stock implementation takes by default."""


class MessageTransport:
    """A transport for `Connection` on top of a WebSocket. Buffers, pauses and closes like a socket's."""

    def __init__(
        self, websocket: web.WebSocketResponse, below: asyncio.Transport | None, connection: Connection
    ) -> None:
        self._websocket = websocket
        self._below = below
        self._connection = connection
        self._unsent = bytearray()
        self._high = 65_536
        self._paused = False
        self._closing = False
        self._something_to_do = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()

    def write(self, data: bytes) -> None:
        """Buffer bytes for the writing task."""
        if self._closing:
            return
        self._unsent += data
        self._something_to_do.set()
        if not self._paused and len(self._unsent) > self._high:
            self._paused = True
            self._connection.pause_writing()

    def close(self) -> None:
        """End when everything buffered has been sent."""
        self._closing = True
        self._something_to_do.set()
        self._may_read.set()

    def abort(self) -> None:
        """End now."""
        self._unsent.clear()
        self.close()
        # Without this, a writing task that waits for a client who reads no more would wait on.
        if self._below is not None:
            self._below.abort()

    def pause_reading(self) -> None:
        """Take no further message until `resume_reading`."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """See `pause_reading`."""
        self._may_read.set()

    def get_write_buffer_size(self) -> int:
        """Bytes not yet handed to the WebSocket."""
        return len(self._unsent)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """More than `high` bytes pause the connection's writing; it goes on at a quarter of that."""
        if high is not None:
            self._high = high

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the socket below."""
        return self._below.get_extra_info(name, default) if self._below is not None else default

    async def read_messages(self) -> None:
        """Give incoming bytes to the connection until either side closes."""
        while not self._closing:
            await self._may_read.wait()
            message = await self._websocket.receive()
            if message.type is not WSMsgType.BINARY:
                return
            self._connection.data_received(message.data)

    async def write_messages(self) -> None:
        """Send what is buffered until closed."""
        while self._unsent or not self._closing:
            if not self._unsent:
                self._something_to_do.clear()
                await self._something_to_do.wait()
                continue
            message = bytes(self._unsent[:_MAX_MESSAGE])
            await self._websocket.send_bytes(message)
            # Only now: until the WebSocket has taken them, these bytes count as unsent. An abort may have
            # cleared the buffer meanwhile, in which case there is nothing left to remove.
            del self._unsent[: len(message)]
            if self._paused and len(self._unsent) <= self._high // 4:
                self._paused = False
                self._connection.resume_writing()
        await self._websocket.close()


async def serve_websocket(request: web.Request, relay: RelayContext, source: str) -> web.StreamResponse:
    """Answer the upgrade and serve the connection until it ends."""
    websocket = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        compress=False,
        max_msg_size=relay.limits.max_websocket_message,
        timeout=relay.limits.close_deadline,
    )
    await websocket.prepare(request)
    connection = Connection(relay, source)
    transport = MessageTransport(websocket, request.transport, connection)
    connection.begin(transport, b"")
    error: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(transport.write_messages(), name="derp websocket writer")
            reader = group.create_task(transport.read_messages(), name="derp websocket reader")
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            transport.close()
            connection.end("closed_by_client")
            reader.cancel()
            # What is buffered, such as the last words before a refusal, gets its chance to leave.
            await asyncio.wait((writer,), timeout=relay.limits.close_deadline)
            writer.cancel()
    except* (ConnectionError, OSError) as group_error:
        error = group_error.exceptions[0] if isinstance(group_error.exceptions[0], Exception) else None
    finally:
        connection.connection_lost(error)
    return websocket
