"""The control transport as a whole: `/ts2021` in, requests out.

    aiohttp request > Noise handshake > taken-over transport > HTTP/2 > Handler(Request, ResponseStream)

Mounted by the composition root; what the requests mean is the router's business. aiohttp knows nothing of
taken-over connections, so counting, capping and closing them happens here.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from dataclasses import dataclass

import structlog
from aiohttp import web

from coordinator.control.exchange import (
    BodyTooLargeError,
    Peer,
    Request,
    ResponseStateError,
    ResponseStream,
    StreamClosedError,
)
from coordinator.control.h2_connection import ControlConnection, Handler
from coordinator.control.limits import ControlLimits
from coordinator.control.noise_stream import NoiseStream, watch_liveness
from coordinator.control.upgrade import (
    SWITCHING,
    UPGRADE,
    BadUpgradeError,
    read_initiation,
    read_websocket_initiation,
    take_over,
)
from coordinator.control.websocket import WebSocketTransport
from coordinator.noise.connection import NoiseConnection
from coordinator.noise.early_payload import early_payload
from coordinator.noise.errors import RemoteProtocolError
from coordinator.noise.handshake import Handshake, respond
from coordinator.noise.messages import Initiation
from coordinator.tailcfg.keys import MachineKey, machine_key_from_bytes

__all__ = [
    "BodyTooLargeError",
    "ControlLimits",
    "ControlServer",
    "ControlStats",
    "Handler",
    "Peer",
    "Request",
    "ResponseStateError",
    "ResponseStream",
    "StreamClosedError",
]

log = structlog.get_logger(__name__)

PATH = "/ts2021"
_ABORT_SECONDS = 1.0
"""An aborted transport reports its end within a few turns of the loop."""


@dataclass(slots=True)
class ControlStats:
    """Counters since the start."""

    handshakes: int = 0
    """Completed."""
    failed_handshakes: int = 0
    """Malformed, or not made for our key."""
    refused: int = 0
    """Turned away because there were too many connections, or the wait was too long."""
    requests: int = 0
    """On connections that have ended."""


class ControlServer:
    """All control connections of this process."""

    def __init__(self, private_key: bytes, handler: Handler, limits: ControlLimits | None = None) -> None:
        """Take the 32-byte Noise key and the function that answers requests."""
        self._private_key = private_key
        self._handler = handler
        self._limits = limits or ControlLimits()
        self._connections: dict[ControlConnection, None] = {}
        self._by_machine: dict[MachineKey, list[ControlConnection]] = {}
        self._gate = asyncio.Semaphore(self._limits.simultaneous_handshakes)
        self._waiting = 0
        self._closing = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._names = itertools.count(1)
        self.stats = ControlStats()

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def connections(self) -> int:
        """Connections past their handshake."""
        return len(self._connections)

    def routes(self) -> list[web.RouteDef]:
        """For the application that owns the port."""
        return [web.post(PATH, self._post), web.get(PATH, self._get, allow_head=False)]

    async def close(self, grace: float = 5.0) -> None:
        """Let running handlers finish, at most `grace` seconds; then GOAWAY to all and close.

        The GOAWAY comes last because h2 sends nothing after it. Connections whose peer does not take what is
        written are aborted, so this ends about a second after the grace at the latest.
        """
        self._closing = True
        deadline = asyncio.get_running_loop().time() + grace
        handlers = [task for connection in self._connections for task in connection.tasks]
        if handlers:
            await asyncio.wait(handlers, timeout=grace)
            # What the last handlers wrote leaves in the next turn of the loop.
            await asyncio.sleep(0)
        for connection in list(self._connections):
            connection.close("server stopped")
        if await self._emptied(deadline):
            return
        log.info("control connections aborted at stop", connections=len(self._connections))
        for connection in list(self._connections):
            connection.abort("server stopped")
        await self._emptied(deadline + _ABORT_SECONDS)

    async def _emptied(self, deadline: float) -> bool:
        try:
            async with asyncio.timeout_at(deadline):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    # dials

    async def _post(self, request: web.Request) -> web.StreamResponse:
        try:
            initiation = read_initiation(request)
        except BadUpgradeError as error:
            return self._bad(request, error)
        answer = await self._shake_hands(request, initiation)
        if isinstance(answer, web.Response):
            return answer
        noise = NoiseConnection(receive_key=answer.receive_key, send_key=answer.send_key)
        stream = take_over(request, noise, self._limits)
        if stream is not None:
            connection = self._connect(stream, answer, request.remote or "")
            opening = noise.seal(early_payload(os.urandom(32)) + connection.opening())
            stream.write_raw(SWITCHING + answer.response + opening)
            self._admit(connection)
        # aiohttp fails to send this, having no transport any more, and ends its task.
        return web.Response()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        try:
            initiation = read_websocket_initiation(request)
        except BadUpgradeError as error:
            return self._bad(request, error)
        answer = await self._shake_hands(request, initiation)
        if isinstance(answer, web.Response):
            return answer
        # Compression of ciphertext is wasted work.
        socket = web.WebSocketResponse(
            protocols=(UPGRADE,), compress=False, max_msg_size=self._limits.max_body
        )
        await socket.prepare(request)
        noise = NoiseConnection(receive_key=answer.receive_key, send_key=answer.send_key)
        transport = WebSocketTransport(socket, self._limits)
        stream = NoiseStream(transport, noise)
        connection = self._connect(stream, answer, request.remote or "")
        stream.write_raw(answer.response + noise.seal(connection.opening()))
        self._admit(connection)
        if request.transport is not None:
            watch_liveness(request.transport, self._limits)
        await transport.run(stream)
        await socket.close()
        return socket

    def _bad(self, request: web.Request, error: BadUpgradeError) -> web.Response:
        self.stats.failed_handshakes += 1
        log.info("control dial refused", remote=request.remote, reason=str(error))
        return web.Response(status=400, text=f"{error}\n")

    async def _shake_hands(self, request: web.Request, initiation: Initiation) -> Handshake | web.Response:
        """Answer an initiation when its turn comes.

        Waiting costs a client nothing, being refused costs it 10 s; so dials wait, and a storm of them takes
        only a few handshakes out of every turn of the loop.
        """
        if self._closing or len(self._connections) + self._waiting >= self._limits.max_connections:
            return self._full(request, "too many connections")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.handshake_deadline), self._gate:
                await asyncio.sleep(0)
                handshake = respond(self._private_key, initiation)
        except TimeoutError:
            return self._full(request, "too many dials at once")
        except RemoteProtocolError as error:
            self.stats.failed_handshakes += 1
            log.info("control handshake failed", remote=request.remote, reason=str(error))
            answer = web.Response(status=400, text=f"{error}\n")
            answer.force_close()
            return answer
        finally:
            self._waiting -= 1
        self.stats.handshakes += 1
        return handshake

    def _full(self, request: web.Request, reason: str) -> web.Response:
        self.stats.refused += 1
        # One line for the first and then for every hundredth: a storm must not flood the log as well.
        if self.stats.refused % 100 == 1:
            log.warning(
                "control dial turned away", remote=request.remote, reason=reason, refused=self.stats.refused
            )
        return web.Response(status=503, text=f"{reason}\n")

    # connections

    def _connect(self, stream: NoiseStream, handshake: Handshake, remote: str) -> ControlConnection:
        peer = Peer(
            machine_key=machine_key_from_bytes(handshake.machine_key),
            version=handshake.version,
            remote=remote,
        )
        connection = ControlConnection(
            stream=stream,
            peer=peer,
            handler=self._handler,
            limits=self._limits,
            name=f"c{next(self._names)}",
            on_end=self._ended,
        )
        stream.start(connection)
        return connection

    def _admit(self, connection: ControlConnection) -> None:
        self._connections[connection] = None
        self._empty.clear()
        siblings = self._by_machine.setdefault(connection.peer.machine_key, [])
        siblings.append(connection)
        for oldest in siblings[: -self._limits.max_connections_per_machine]:
            oldest.abort("too many connections of this machine")

    def _ended(self, connection: ControlConnection) -> None:
        self.stats.requests += connection.requests
        self._connections.pop(connection, None)
        if not self._connections:
            self._empty.set()
        siblings = self._by_machine.get(connection.peer.machine_key)
        if siblings is not None and connection in siblings:
            siblings.remove(connection)
            if not siblings:
                del self._by_machine[connection.peer.machine_key]
