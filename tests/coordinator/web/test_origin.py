"""Where requests come from."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from coordinator.audit.origin import current_origin
from coordinator.web.middleware import errors, log_request
from coordinator.web.origin import MAX_REASON, REASON_HEADER, take_origin


def make_app() -> web.Application:
    async def tell(request: web.Request) -> web.Response:
        origin = current_origin()
        return web.json_response([origin.source, origin.request_id, origin.reason])

    app = web.Application(middlewares=[log_request, errors, take_origin])
    app.router.add_post("/", tell)
    return app


async def test_over_tcp_it_is_an_address() -> None:
    async with TestServer(make_app()) as server, aiohttp.ClientSession() as session:
        headers = {REASON_HEADER: quote("weil's nötig ist")}
        async with session.post(server.make_url("/"), headers=headers) as response:
            source, request_id, reason = await response.json()
    assert (source, reason) == ("127.0.0.1", "weil's nötig ist")
    assert len(request_id) == 12


async def test_over_a_unix_socket_it_is_the_user(tmp_path: Path) -> None:
    runner = web.AppRunner(make_app())
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "s")).start()
    connector = aiohttp.UnixConnector(str(tmp_path / "s"))
    async with (
        aiohttp.ClientSession("http://localhost", connector=connector) as session,
        session.post("/") as response,
    ):
        assert (await response.json())[0] == f"unix:uid={os.getuid()}"
    await runner.cleanup()


async def test_a_reason_has_an_end() -> None:
    async with TestServer(make_app()) as server, aiohttp.ClientSession() as session:
        headers = {REASON_HEADER: "x" * (MAX_REASON + 1)}
        async with session.post(server.make_url("/"), headers=headers) as response:
            assert response.status == 400
            assert "too long" in (await response.json(content_type=None))["detail"]
