"""Errors behind the shells."""

from __future__ import annotations

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from coordinator.tailnet.errors import ConflictError
from coordinator.web.middleware import errors


async def ask(handler) -> tuple[int, dict[str, object]]:  # type: ignore[no-untyped-def]
    app = web.Application(middlewares=[errors])
    app.router.add_get("/", handler)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession() as session,
        session.get(server.make_url("/")) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def test_a_domain_error_keeps_its_sentence() -> None:
    async def handler(request: web.Request) -> web.Response:
        raise ConflictError("taken")

    status, document = await ask(handler)
    assert (status, document["detail"]) == (409, "taken")


async def test_an_unknown_exception_shows_an_id_and_nothing_else() -> None:
    async def handler(request: web.Request) -> web.Response:
        raise RuntimeError("secret hskey-auth-abc")

    status, document = await ask(handler)
    assert status == 500
    assert "hskey" not in str(document)
    assert "request" in str(document["detail"])
