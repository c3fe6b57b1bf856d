"""Errors behind the shells."""

from __future__ import annotations

import aiohttp
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer

from coordinator.tailnet.errors import ConflictError
from coordinator.web.middleware import errors, log_request


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


async def test_the_line_in_the_log_and_the_answer_share_an_id() -> None:
    async def handler(request: web.Request) -> web.Response:
        raise RuntimeError("broken")

    app = web.Application(middlewares=[log_request, errors])
    app.router.add_get("/", handler)
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        async with (
            TestServer(app) as server,
            aiohttp.ClientSession() as session,
            session.get(server.make_url("/?key=secret")) as answer,
        ):
            document = await answer.json(content_type=None)
    ids = {line["request_id"] for line in lines}
    assert len(lines) == 2
    assert len(ids) == 1
    assert ids.pop() in document["detail"]
    assert "secret" not in str(lines)
