"""Connections that never get to a request."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
from aiohttp import web

from coordinator.web.deadline import FirstRequestDeadline


async def test_half_a_request_is_not_waited_for_and_whole_ones_are_served() -> None:
    deadline = FirstRequestDeadline(0.2)

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.5)
        return web.Response(text="done")

    app = web.Application(middlewares=[deadline.middleware()])
    app.router.add_get("/", slow)
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    server = await asyncio.get_running_loop().create_server(deadline.factory(runner.server), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HT")
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as response:
        assert await response.text() == "done"
        async with asyncio.timeout(2):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
    writer.close()
    server.close()
    await runner.cleanup()
