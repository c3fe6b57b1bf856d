"""A small HTTP/1.1 client for one server: h11 over asyncio's streams, connections kept for the next request.

Only what the line to the server needs: no redirects, no compression, no cookies, no proxies. A client that
can do all of that costs a gateway more memory than everything else it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import h11

_READ_BYTES = 1 << 16
_LARGEST_HEAD = 1 << 16
_CLOSE_TIMEOUT_S = 1.0
_SECOND_ADDRESS_AFTER_S = 0.25
_MOST_IDLE = 4
_DEFAULT_PORTS = {"http": 80, "https": 443}
_TOLD_OF_AN_ERROR = 200
# RFC 9110, section 15.5.9: to be repeated on a new connection.
_TOO_IDLE = 408


class HttpError(Exception):
    """There is no connection, or what came over it is no answer; the text says which."""


class TooLargeError(HttpError):
    """The answer has more bytes than allowed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body. Of an answer that is not 200 the body is cut off after 200 bytes."""

    status: int
    body: bytes


class HttpClient:
    """Requests to one server, each on a connection of its own while it lasts.

    Args:
        url: `http` or `https`, host, perhaps a port and a path that is put in front of every other.
        headers: sent with every request.
        tls: for https; the system's certificate authorities otherwise.
    Raises:
        ValueError: the URL has no host, or a port that is none.
    """

    def __init__(self, url: str, headers: Mapping[str, str], tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError(f"`{url}` names no host")
        self._host = parts.hostname
        self._port = parts.port or _DEFAULT_PORTS[parts.scheme]
        self._before = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        self._tls = None
        if parts.scheme == "https":
            self._tls = tls if tls is not None else ssl.create_default_context()
        name = self._host.encode("idna").decode() if not self._host.isascii() else self._host
        name = f"[{name}]" if ":" in name else name
        self._headers = [
            ("Host", name if self._port == _DEFAULT_PORTS[parts.scheme] else f"{name}:{self._port}"),
            *headers.items(),
        ]
        self._idle: list[_Connection] = []

    async def close(self) -> None:
        """End the connections nobody uses; those in use end with their request."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    async def request(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        connect_timeout: float,
        timeout: float,
        largest: int,
    ) -> Answer:
        """Ask, and read the whole answer. May be sent twice, when a kept connection turns out to be gone.

        Args:
            target: path and query, already quoted.
            body: JSON.
            connect_timeout: seconds for a new connection.
            timeout: seconds for everything.
            largest: bytes of a body with status 200.
        Raises:
            HttpError, TooLargeError: see there.
            TimeoutError: no answer in time.
        """
        headers = list(self._headers)
        if body is not None:
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        head = h11.Request(method=method, target=self._before + target, headers=headers)
        async with asyncio.timeout(timeout):
            while (kept := self._kept()) is not None:
                with contextlib.suppress(_GoneError):
                    return await self._exchange(kept, head, body, largest)
            async with asyncio.timeout(connect_timeout):
                fresh = await self._connect()
            return await self._exchange(fresh, head, body, largest)

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> _Connection:
        try:
            reader, writer = await asyncio.open_connection(
                self._host,
                self._port,
                ssl=self._tls,
                happy_eyeballs_delay=_SECOND_ADDRESS_AFTER_S,
            )
        except (OSError, UnicodeError) as error:
            raise HttpError(_reason(error)) from error
        return _Connection(reader, writer)

    async def _exchange(
        self, connection: _Connection, head: h11.Request, body: bytes | None, largest: int
    ) -> Answer:
        try:
            answer = await connection.exchange(head, body, largest)
        except BaseException as error:
            # Half an exchange: whatever else comes over this connection belongs to nobody.
            connection.abort()
            if isinstance(error, OSError | h11.ProtocolError) and not isinstance(error, TimeoutError):
                raise HttpError(_reason(error)) from error
            raise
        if connection.next_request() and len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.abort()
        return answer


class _GoneError(HttpError):
    """The other side had closed the connection before it saw the request."""


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGEST_HEAD)
        self._used = False

    @property
    def usable(self) -> bool:
        """Whether the other side has not closed it, as far as is known."""
        return not (self._reader.at_eof() or self._writer.is_closing() or self._reader.exception())

    async def exchange(self, head: h11.Request, body: bytes | None, largest: int) -> Answer:
        """Send a request and read its answer."""
        try:
            self._send(head)
            if body is not None:
                self._send(h11.Data(data=body))
            self._send(h11.EndOfMessage())
            await self._writer.drain()
            event = await self._next()
        except ConnectionError as error:
            raise self._gone(_reason(error)) from error
        while isinstance(event, h11.InformationalResponse):
            event = await self._next()
        if not isinstance(event, h11.Response):
            raise HttpError("what it says is not HTTP")
        status, content = event.status_code, bytearray()
        if status == _TOO_IDLE:
            # Said by proxies that close a connection nobody used, not about this request.
            raise self._gone("the server answered 408")
        while isinstance(event := await self._next(), h11.Data):
            content += event.data
            if status != 200 and len(content) >= _TOLD_OF_AN_ERROR:
                return Answer(status, bytes(content[:_TOLD_OF_AN_ERROR]))
            if len(content) > largest:
                raise TooLargeError(f"the answer is larger than {largest} bytes")
        return Answer(status, bytes(content))

    def next_request(self) -> bool:
        """Prepare for another one; whether there can be one."""
        self._used = True
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return self.usable

    def abort(self) -> None:
        """End it now."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """End it in good form, and not wait for one that does not answer."""
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self.abort()

    def _send(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        if data := self._http.send(event):
            self._writer.write(data)

    async def _next(self) -> h11.Event | None:
        """The next thing the other side said; None when it may not say more."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._reader.read(_READ_BYTES)
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                raise self._gone("the connection was closed without an answer")
            self._http.receive_data(data)
        return event if isinstance(event, h11.Event) else None

    def _gone(self, reason: str) -> HttpError:
        return _GoneError(reason) if self._used else HttpError(reason)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    return str(error) or type(error).__name__
