"""A deadline for the first request of a connection.

aiohttp waits for ever for a request head that never ends, so that a few thousand idle sockets could hold the
server's file descriptors. Connections whose first request is not there in time are closed; later pauses are
the business of aiohttp's keep-alive timer, and of whoever took the connection over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

FIRST_REQUEST_SECONDS = 15.0
"""Long enough for a client behind a bad line, and for a TLS handshake in a storm of thousands."""
KEEPALIVE_SECONDS = 75.0
"""Between requests of one connection; a browser's usual patience."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FirstRequestDeadline:
    """A protocol factory around an aiohttp server, and the middleware that sees who spoke.

    Args:
        seconds: How long a new connection may stay silent.
    """

    def __init__(self, seconds: float = FIRST_REQUEST_SECONDS) -> None:
        self._seconds = seconds
        self._silent: set[web.RequestHandler] = set()

    def middleware(self) -> Middleware:
        """Marks the connection of each request."""

        @web.middleware
        async def mark(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._silent.discard(request.protocol)
            return await handler(request)

        return mark

    def factory(self, server: web.Server) -> Callable[[], asyncio.BaseProtocol]:
        """What `create_server` is given instead of the server itself."""

        def make() -> asyncio.BaseProtocol:
            protocol = server()
            self._silent.add(protocol)
            asyncio.get_running_loop().call_later(self._seconds, self._look, protocol)
            return protocol

        return make

    def _look(self, protocol: web.RequestHandler) -> None:
        if protocol in self._silent:
            self._silent.discard(protocol)
            if protocol.transport is not None:
                protocol.transport.abort()
