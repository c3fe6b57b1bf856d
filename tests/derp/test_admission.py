"""admission: who is let in, and that every kind of failure means no."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from derp.admission import AllowAll, KeyList, VerifyURL

KEY = bytes(range(32))


async def test_everyone() -> None:
    assert await AllowAll().admit(KEY, "192.0.2.1")


async def test_a_list() -> None:
    admission = KeyList([KEY])
    assert await admission.admit(KEY, "192.0.2.1")
    assert not await admission.admit(bytes(32), "192.0.2.1")


@asynccontextmanager
async def answering(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/verify", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/verify"
    finally:
        await runner.cleanup()


async def test_the_call_out_asks_and_believes() -> None:
    asked = []

    async def verify(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response({"Allow": len(asked) == 1, "Other": [1]})

    async with answering(verify) as url:
        admission = VerifyURL(url)
        assert await admission.admit(KEY, "192.0.2.1")
        assert not await admission.admit(KEY, "2001:db8::1")
        await admission.close()
    node_key = "nodekey:" + KEY.hex()
    assert asked == [
        {"NodePublic": node_key, "Source": "192.0.2.1"},
        {"NodePublic": node_key, "Source": "2001:db8::1"},
    ]


YES = json.dumps({"Allow": True})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, YES),
        (403, YES),
        (204, ""),
        (200, ""),
        (200, "{}"),
        (200, "true"),
        (200, '{"Allow":1}'),
        (200, '{"Allow":"true"}'),
        (200, '{"allow":true}'),
        (200, '{"x":' + "[" * 3000),
        (200, '{"x":"' + " " * 5000 + '","Allow":true}'),
    ],
)
async def test_any_other_answer_means_no(status: int, body: str) -> None:
    async def verify(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    async with answering(verify) as url:
        admission = VerifyURL(url)
        assert not await admission.admit(KEY, "192.0.2.1")
        await admission.close()


async def test_redirects_are_not_followed() -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        if "again" in request.query:
            return web.json_response({"Allow": True})
        return web.Response(status=307, headers={"Location": "/verify?again=1"})

    async with answering(elsewhere) as url:
        admission = VerifyURL(url)
        assert not await admission.admit(KEY, "192.0.2.1")
        await admission.close()


async def test_silence_means_no() -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.json_response({"Allow": True})

    async with answering(never) as url:
        admission = VerifyURL(url, timeout=0.1)
        assert not await admission.admit(KEY, "192.0.2.1")
        await admission.close()


async def test_nobody_there_means_no() -> None:
    async def unused(request: web.Request) -> web.Response:
        return web.Response()

    async with answering(unused) as url:
        gone = url
    admission = VerifyURL(gone)
    assert not await admission.admit(KEY, "192.0.2.1")
    await admission.close()
