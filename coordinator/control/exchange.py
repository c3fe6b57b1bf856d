"""One request and its response, as handlers see them.

Made by `h2_connection`, used by `router` and the handlers. The connection is reached through the narrow
`Outlet` interface, so that a handler cannot touch another stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from h2.errors import ErrorCodes

from coordinator.control.data_frames import DataFrames
from coordinator.control.limits import MIB
from coordinator.tailcfg.keys import MachineKey

Headers = list[tuple[str, str]]


class StreamClosedError(Exception):
    """The client, or the connection, is gone; there is nobody to answer."""


class BodyTooLargeError(Exception):
    """A request body above its limit."""


class ResponseStateError(RuntimeError):
    """A handler used its response in the wrong order: a bug of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end: the machine key proven by the handshake, the client's capability version."""

    machine_key: MachineKey
    version: int
    remote: str


class Request:
    """One request; the body arrives while the handler already runs.

    `path` is as sent, not percent-decoded; header names are lower-case, of repeated ones the first counts.
    """

    __slots__ = (
        "_body", "_ended", "_gone", "_limit", "_overflow", "_waiter",
        "headers", "method", "path", "peer", "query", "request_id",
    )  # fmt: skip

    def __init__(
        self,
        *,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        peer: Peer,
        request_id: str,
        limit: int = MIB,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.peer = peer
        self.request_id = request_id
        self._limit = limit
        self._body = bytearray()
        self._ended = False
        self._overflow = False
        self._gone = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether the client has sent all of it."""
        return self._ended

    async def body(self, limit: int = MIB) -> bytes:
        """The whole body.

        Raises:
            BodyTooLargeError: more than `limit` bytes, or than the transport takes at all.
            StreamClosedError: the client left before its end.
        """
        while not (self._ended or self._overflow or self._gone or len(self._body) > limit):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._overflow or len(self._body) > limit:
            raise BodyTooLargeError(f"a request body may have {min(limit, self._limit)} bytes")
        if self._gone and not self._ended:
            raise StreamClosedError("the client left before the end of its request")
        return bytes(self._body)

    @property
    def held(self) -> int:
        """Bytes of the body in memory."""
        return len(self._body)

    def feed(self, data: bytes) -> None:
        """More of the body; what is above the limit is dropped, so that memory stays bounded."""
        if self._overflow:
            return
        if len(self._body) + len(data) > self._limit:
            self._overflow = True
            self._body.clear()
        else:
            self._body += data
        self._wake()

    def finish(self) -> None:
        """The client's END_STREAM."""
        self._ended = True
        self._wake()

    def abandon(self) -> None:
        """The stream died."""
        self._gone = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Outlet(Protocol):
    """What a response needs of its connection."""

    def send_headers(self, stream_id: int, headers: Headers) -> DataFrames:
        """Queue HEADERS; the stream's DATA can be written from now on."""

    def write_frames(self, frames: bytes) -> None:
        """Write DATA frames made by hand, behind whatever `h2` has queued."""

    def can_write(self) -> bool:
        """Whether the transport takes more now."""

    def blocked(self, response: ResponseStream) -> None:
        """This response has data waiting for a window or for the transport."""

    def end_stream(self, stream_id: int) -> None:
        """Queue END_STREAM; the stream leaves the connection's books."""

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """Queue RST_STREAM; the stream leaves the connection's books."""

    @property
    def send_chunk(self) -> int:
        """Most bytes to frame and seal in one go."""


class ResponseStream:
    """The sending side of one stream.

    Two ways to use it. A handler that answers: `send_head`, `send`…, `finish`. A map session: `send_head`,
    `detach`, return, and from then on `try_push` and the callbacks, with no task held. One sender at a time.
    """

    __slots__ = (
        "_data", "_detached", "_finished", "_frames", "_idle", "_outlet", "_position", "_refused",
        "_stream_id", "closed", "on_closed", "on_writable", "progress",
    )  # fmt: skip

    def __init__(self, outlet: Outlet, stream_id: int) -> None:
        self._outlet = outlet
        self._stream_id = stream_id
        self._frames: DataFrames | None = None
        self._data: memoryview | None = None
        self._position = 0
        self._refused = False
        self._detached = False
        self._finished = False
        self._idle: asyncio.Future[None] | None = None
        self.closed = False
        self.progress = 0.0
        self.on_writable: Callable[[], None] | None = None
        self.on_closed: Callable[[], None] | None = None

    @property
    def stream_id(self) -> int:
        """HTTP/2 stream identifier, odd."""
        return self._stream_id

    @property
    def head_sent(self) -> bool:
        """Whether the status is out; after that an error can only reset the stream."""
        return self._frames is not None

    @property
    def detached(self) -> bool:
        """Whether the stream lives on without its handler's task."""
        return self._detached

    @property
    def busy(self) -> bool:
        """Whether a message is still on its way into the transport."""
        return self._data is not None

    async def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status and the headers; before everything else.

        Raises:
            StreamClosedError: the client is gone.
        """
        self._check_open()
        if self._frames is not None:
            raise ResponseStateError("the response has its head already")
        fields = [(":status", str(status)), *((name.lower(), value) for name, value in headers.items())]
        self._frames = self._outlet.send_headers(self._stream_id, fields)

    async def send(self, data: bytes) -> None:
        """Send part of the body; returns when the transport has taken all of it.

        Raises:
            StreamClosedError: the client is gone.
        """
        await self._wait_idle()
        if self.try_push(data):
            await self._wait_idle()

    async def finish(self) -> None:
        """End the response after everything sent so far.

        Raises:
            StreamClosedError: the client is gone.
        """
        await self._wait_idle()
        if self._frames is None:
            raise ResponseStateError("the response has no head yet")
        self._finished = True
        self.closed = True
        self._outlet.end_stream(self._stream_id)

    def detach(self) -> None:
        """Let the stream outlive its handler; from now on only the callbacks tell what happens to it."""
        self._detached = True

    def try_push(self, data: bytes) -> bool:
        """Take one whole message without waiting.

        What the windows and the transport do not take now is kept and sent as they open; until then the
        stream is `busy`. One message is in flight at a time, so memory per stream is bounded by one message.

        Returns:
            False when busy, in which case `on_writable` is called once afterwards, or when closed.
        """
        frames = self._frames
        if self.closed:
            return False
        if frames is None:
            raise ResponseStateError("the response has no head yet")
        if self._data is not None:
            self._refused = True
            return False
        if not data:
            return True
        size = len(data)
        outlet = self._outlet
        if size <= outlet.send_chunk and size <= frames.allowance and outlet.can_write():
            outlet.write_frames(frames.frames(data))
            return True
        self._data = memoryview(data)
        self._position = 0
        self.progress = asyncio.get_running_loop().time()
        if not self.pump():
            outlet.blocked(self)
        return True

    def pump(self) -> bool:
        """Send what windows and transport take now; called by the connection when either has opened.

        Returns:
            Whether nothing is left.
        """
        data, frames, outlet = self._data, self._frames, self._outlet
        if data is None or frames is None:
            return True
        size = len(data)
        start = self._position
        while self._position < size and outlet.can_write():
            count = min(frames.allowance, outlet.send_chunk, size - self._position)
            if count <= 0:
                break
            end = self._position + count
            outlet.write_frames(frames.frames(data[self._position : end]))
            self._position = end
        if self._position > start:
            self.progress = asyncio.get_running_loop().time()
        if self._position < size:
            return False
        self._data = None
        self._wake()
        if self._refused:
            self._refused = False
            asyncio.get_running_loop().call_soon(self._tell_writable)
        return True

    def reset(self, error_code: int = ErrorCodes.CANCEL) -> None:
        """End the stream at once; what is not yet sent is dropped. `on_closed` is not called: we know."""
        if self.closed:
            return
        self._drop()
        self._outlet.reset_stream(self._stream_id, error_code)

    def lost(self) -> None:
        """The client reset the stream, or the connection is gone; called by the connection."""
        if self.closed:
            return
        self._drop()
        # Read at call time, not now: the owner may lose interest in between, or not have set it yet.
        asyncio.get_running_loop().call_soon(self._tell_closed)

    def _drop(self) -> None:
        self.closed = True
        self._data = None
        self._refused = False
        self._wake()

    def _tell_writable(self) -> None:
        if self.on_writable is not None and not self.closed and self._data is None:
            self.on_writable()

    def _tell_closed(self) -> None:
        if self.on_closed is not None:
            self.on_closed()

    async def _wait_idle(self) -> None:
        while self._data is not None and not self.closed:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        self._check_open()

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _check_open(self) -> None:
        if self.closed:
            raise StreamClosedError("the response is closed" if self._finished else "the client is gone")
