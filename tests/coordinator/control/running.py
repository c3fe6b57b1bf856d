"""A control server on loopback, for the tests of this room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from coordinator.control.h2_server import ControlLimits, ControlServer, Handler, Request, ResponseStream
from coordinator.noise.keys import public_key
from tests.support.fake_tailscaled import STREAM_WINDOW, ControlChannel, dial, private_key

SERVER_KEY = bytes(range(1, 33))
SERVER_PUBLIC = public_key(SERVER_KEY)


@dataclass(slots=True)
class RunningServer:
    """Where it listens, and the server itself."""

    server: ControlServer
    port: int

    async def dial(
        self, machine: bytes | None = None, *, version: int = 142, stream_window: int = STREAM_WINDOW
    ) -> ControlChannel:
        """A channel of a new machine, or of this one."""
        return await dial(
            "127.0.0.1",
            self.port,
            SERVER_PUBLIC,
            machine or private_key(),
            version=version,
            stream_window=stream_window,
        )


@asynccontextmanager
async def running(handler: Handler, limits: ControlLimits | None = None) -> AsyncIterator[RunningServer]:
    """Serve until the block is left; nothing stays behind."""
    server = ControlServer(SERVER_KEY, handler, limits)
    app = web.Application()
    app.add_routes(server.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield RunningServer(server, runner.addresses[0][1])
    finally:
        await server.close(1)
        await runner.cleanup()


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for something that happens soon."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def echo(request: Request, response: ResponseStream) -> None:
    """Answers with what was asked."""
    body = await request.body()
    line = f"{request.method} {request.path} {dict(request.query)} ".encode()
    await response.send_head(200, {"Content-Type": "text/plain"})
    await response.send(line + body)
    await response.finish()


class Streams:
    """A handler that keeps its responses open, as map streams are."""

    def __init__(self) -> None:
        self.open: list[ResponseStream] = []

    async def __call__(self, request: Request, response: ResponseStream) -> None:
        await response.send_head(200, {})
        response.detach()
        self.open.append(response)
