"""Takes connections from a listening socket a few at a time.

A server of the event loop takes all that wait in one go; when thousands of clients come back at once, nobody
else is served for as long as that takes.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

PORTION = 50
"""Connections in one turn of the event loop; each takes some 50 us."""
PAUSE_SECONDS = 1.0
"""Before the next attempt when the process may not open more files."""
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Acceptor:
    """Serves connections of one listening socket.

    Args:
        sock: Listening, not blocking.
        factory: Makes the protocol of a connection.
        tls: For TLS.
    """

    def __init__(
        self,
        sock: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._factory = factory
        self._tls = tls
        self._opening: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start taking connections."""
        self._pause = None
        self._loop.add_reader(self._sock, self._take)

    def close(self) -> None:
        """Take no more, and close the socket; connections that are open stay."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for task in self._opening:
            task.cancel()

    def _take(self) -> None:
        for _ in range(PORTION):
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    # The client gave up while it waited.
                    log.debug("connection lost before it was taken", error=str(error))
                    continue
                log.error("cannot take connections, pausing", error=str(error))
                self._loop.remove_reader(self._sock)
                self._pause = self._loop.call_later(PAUSE_SECONDS, self.start)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, connection, ssl=self._tls)
        except (OSError, ssl.SSLError) as error:
            log.debug("connection not opened", error=str(error))
            connection.close()
