"""The line to the server, against one that answers well and badly."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from aiohttp import web

from coordinator.gateway import link as module
from coordinator.gateway.link import AwayError, Backoff, Link, RefusedError
from coordinator.wireguard.wire import REPORT_PATH, WISH_PATH, Report
from tests.coordinator.gateway.builders import NOW, peer
from tests.support.fake_gateway_server import TOKEN, FakeGatewayServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def answering() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """A server that answers every request in one way; gives its address."""
    runners = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_wishes_and_reports() -> None:
    with FakeGatewayServer() as server:
        async with Link(server.url + "/", TOKEN) as link:
            version = server.wish(peers=(peer(2),))
            wish = await link.wish("", 0)
            assert wish is not None
            assert (wish.version, wish.peers) == (version, (peer(2),))
            assert await link.wish(version, 0) is None
            await link.report(Report(version=version, now=NOW, public_keys={"k0": "x"}))
            assert server.reports[0].public_keys == {"k0": "x"}
            server.refusing = True
            with pytest.raises(RefusedError, match="does not accept the token"):
                await link.wish(version, 0)
        url = server.url
    async with Link(url, TOKEN) as link:
        with pytest.raises(AwayError, match="cannot be reached"):
            await link.wish("", 0)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (web.Response(status=502, text="<h1>\x1b[2J" + "x" * 5000), "answered 502 <h1>"),
        (web.Response(text="{"), "cannot be read"),
        (web.Response(text='{"version": 7}'), "cannot be read"),
        (web.Response(body=b'{"version": "\xff"}'), "cannot be read"),
        (web.Response(status=302, headers={"Location": "http://elsewhere.invalid/"}), "answered 302"),
    ],
)
async def test_nonsense_is_as_no_answer(
    answering: Callable[[Handler], Awaitable[str]], answer: web.Response, says: str
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return answer

    async with Link(await answering(handler), TOKEN) as link:
        with pytest.raises(AwayError, match=says) as caught:
            await link.wish("", 0)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400


async def test_a_wish_without_end(
    answering: Callable[[Handler], Awaitable[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_WISH", 1000)

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1001)

    async with Link(await answering(handler), TOKEN) as link:
        with pytest.raises(AwayError, match="larger than 1000 bytes"):
            await link.wish("", 0)


async def test_no_answer_in_time(
    answering: Callable[[Handler], Awaitable[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setattr(module, "_ANSWER_TIMEOUT_S", 0.1)

    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async with Link(await answering(handler), TOKEN) as link:
        with pytest.raises(AwayError, match="no answer"):
            await link.report(Report(version="", now=NOW, public_keys={}))


async def test_what_is_asked(answering: Callable[[Handler], Awaitable[str]]) -> None:
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, dict(request.query), request.headers["Authorization"]))
        return web.Response(status=204)

    async with Link(await answering(handler) + "/below", TOKEN, ssl.create_default_context()) as link:
        await link.wish("7 &", 3)
        await link.report(Report(version="", now=NOW + timedelta(0), public_keys={}))
    assert seen == [
        ("GET", "/below" + WISH_PATH, {"have": "7 &", "wait": "3"}, f"Bearer {TOKEN}"),
        ("POST", "/below" + REPORT_PATH, {}, f"Bearer {TOKEN}"),
    ]


def test_waits_double_up_to_an_end() -> None:
    backoff = Backoff(first=1, longest=8)
    waits = [backoff.wait() for _ in range(6)]
    for wait, most in zip(waits, (1, 2, 4, 8, 8, 8), strict=True):
        assert most / 2 <= wait <= most
    backoff.reset()
    assert backoff.wait() <= 1
