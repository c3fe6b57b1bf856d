"""One HTTP/2 connection over a real socket: requests, flow control, pushes, endings."""

from __future__ import annotations

import asyncio
import random

import pytest
from structlog.testing import capture_logs

from coordinator.control.h2_server import (
    BodyTooLargeError,
    ControlLimits,
    Request,
    ResponseStream,
)
from tests.coordinator.control.running import Streams, echo, running, until
from tests.support.fake_tailscaled import StreamEndedError


async def test_request_and_answer() -> None:
    async with running(echo) as at:
        channel = await at.dial()
        status, headers, body = await channel.request("POST", "/a/b?x=1&y=", b"hello")
        assert (status, headers) == (200, {"content-type": "text/plain"})
        assert body == b"POST /a/b {'x': '1', 'y': ''} hello"
        channel.close()


async def test_uploads_get_their_credit_back() -> None:
    async with running(echo) as at:
        channel = await at.dial()
        for _ in range(30):  # 27 MB on one connection, more than any window
            status, _, body = await channel.request("POST", "/up", b"x" * 900_000)
            assert status == 200 and len(body) > 900_000
        channel.close()


async def test_bodies_above_the_limit() -> None:
    async def handler(request: Request, response: ResponseStream) -> None:
        try:
            await request.body()
        except BodyTooLargeError:
            await response.send_head(413, {})
            await response.finish()

    async with running(handler, ControlLimits(max_body=1000)) as at:
        channel = await at.dial()
        assert (await channel.request("POST", "/", b"x" * 100_000))[0] == 413
        channel.close()


async def test_requests_run_side_by_side() -> None:
    gate = asyncio.Event()

    async def handler(request: Request, response: ResponseStream) -> None:
        if request.path == "/slow":
            await gate.wait()
        await echo(request, response)

    async with running(handler) as at:
        channel = await at.dial()
        slow = [asyncio.ensure_future(channel.request("GET", "/slow")) for _ in range(100)]
        assert (await channel.request("GET", "/fast"))[0] == 200
        gate.set()
        assert {status for status, _, _ in await asyncio.gather(*slow)} == {200}
        channel.close()


async def test_failures_are_500_with_a_request_id_and_no_text() -> None:
    async def handler(request: Request, response: ResponseStream) -> None:
        if request.path == "/half":
            await response.send_head(200, {})
            await response.send(b"half")
        if request.path != "/silent":
            raise ValueError("secret")

    async with running(handler) as at:
        channel = await at.dial()
        with capture_logs() as logs:
            status, _, body = await channel.request("GET", "/boom")
            assert status == 500 and b"secret" not in body
            assert (await channel.request("GET", "/silent"))[0] == 500
            with pytest.raises(StreamEndedError, match="reset with 2"):
                await channel.request("GET", "/half")
        failed = [line for line in logs if line["event"] == "request failed"]
        assert [line["path"] for line in failed] == ["/boom", "/half"]
        assert failed[0]["request_id"].encode() in body
        channel.close()


async def test_a_large_message_waits_for_windows() -> None:
    streams = Streams()
    async with running(streams) as at:
        channel = await at.dial(stream_window=1 << 16)
        channel.manual_credit = True
        stream = channel.begin("POST", "/map")
        await until(lambda: bool(streams.open))
        response = streams.open[0]
        told: list[str] = []
        response.on_writable = lambda: told.append("writable")
        data = random.Random(1).randbytes(9_000_000)
        assert response.try_push(data) and response.busy
        assert not response.try_push(b"next")
        # Others are not held up by it.
        other = channel.begin("POST", "/map")
        await until(lambda: len(streams.open) == 2)
        assert streams.open[1].try_push(b"small")
        await until(lambda: bytes(other.body) == b"small")
        await until(lambda: len(stream.body) == 1 << 16)
        async with asyncio.timeout(20):
            while len(stream.body) < len(data):
                channel.credit(stream)
                stream.changed.clear()
                await stream.changed.wait()
        assert bytes(stream.body) == data
        await until(lambda: told == ["writable"])
        assert not response.busy and response.try_push(b"next")
        channel.close()


async def test_push_and_send_give_the_same_stream() -> None:
    rng = random.Random(3)
    pieces = [rng.randbytes(rng.choice((1, 50, 300, 5000, 17_000, 70_000))) for _ in range(200)]

    async def handler(request: Request, response: ResponseStream) -> None:
        await response.send_head(200, {})
        for piece in pieces:
            if request.path == "/push":
                while not response.try_push(piece):
                    await asyncio.sleep(0)
            else:
                await response.send(piece)
        await response.finish()

    async with running(handler) as at:
        channel = await at.dial(stream_window=30_000)
        answers = await asyncio.gather(channel.request("GET", "/push"), channel.request("GET", "/send"))
        assert [body for _, _, body in answers] == [b"".join(pieces)] * 2
        channel.close()


async def test_an_open_stream_holds_no_task() -> None:
    streams = Streams()
    async with running(streams) as at:
        channel = await at.dial()
        before = len(asyncio.all_tasks())
        for _ in range(20):
            channel.begin("POST", "/map")
        await until(lambda: len(streams.open) == 20)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == before
        channel.close()
        await until(lambda: all(response.closed for response in streams.open))


async def test_leaving_a_poll_is_told_once() -> None:
    streams = Streams()
    async with running(streams) as at:
        channel = await at.dial()
        stream = channel.begin("POST", "/map")
        await until(lambda: bool(streams.open))
        told: list[str] = []
        streams.open[0].on_closed = lambda: told.append("closed")
        channel.cancel(stream)
        await until(lambda: told == ["closed"])
        assert not streams.open[0].try_push(b"x")
        channel.close()
        await until(lambda: at.server.connections == 0)
        assert told == ["closed"]


async def test_a_client_that_leaves_cancels_its_handlers() -> None:
    cancelled = asyncio.Event()

    async def handler(request: Request, response: ResponseStream) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with running(handler) as at:
        channel = await at.dial()
        channel.begin("GET", "/")
        await asyncio.sleep(0.05)
        channel.close()
        await asyncio.wait_for(cancelled.wait(), 5)


async def test_resetting_from_our_side() -> None:
    streams = Streams()
    async with running(streams) as at:
        channel = await at.dial()
        stream = channel.begin("POST", "/map")
        await until(lambda: bool(streams.open))
        streams.open[0].reset()
        await until(lambda: stream.reset == 8)
        assert not channel.closed.is_set()
        channel.close()


async def test_a_client_that_does_not_read_is_dropped() -> None:
    streams = Streams()
    async with running(streams, ControlLimits(stuck_after=0.2)) as at:
        with capture_logs() as logs:
            slow, good = await at.dial(), await at.dial()
            slow.manual_credit = True
            for channel in (slow, good):
                channel.begin("POST", "/map")
                await until(lambda: len(streams.open) == at.server.connections or len(streams.open) == 1)
            await until(lambda: len(streams.open) == 2)
            told: list[str] = []
            streams.open[0].on_closed = lambda: told.append("closed")
            for response in streams.open:
                assert response.try_push(bytes(9_000_000))
            await asyncio.wait_for(slow.closed.wait(), 5)
            await until(lambda: told == ["closed"])
            assert not good.closed.is_set() and at.server.connections == 1
            good.close()
        ended = [line for line in logs if line["event"] == "control connection ended"]
        assert ended[0]["reason"] == "the client does not read"
        assert ended[0]["open_streams"] == 1


async def test_a_hung_socket_is_dropped_too() -> None:
    streams = Streams()
    async with running(streams, ControlLimits(stuck_after=0.2)) as at:
        channel = await at.dial(stream_window=1 << 30)
        channel.begin("POST", "/map")
        await until(lambda: bool(streams.open))
        channel.pause_reading()
        assert streams.open[0].try_push(bytes(50_000_000))
        await until(lambda: at.server.connections == 0)
        channel.close()


async def test_a_storm_of_resets_ends_the_connection() -> None:
    async with running(Streams(), ControlLimits(max_resets_per_minute=50)) as at:
        channel = await at.dial()
        opened = 0
        while not channel.closed.is_set():
            channel.cancel(channel.begin("GET", "/"))
            opened += 1
            await asyncio.sleep(0)
        assert opened > 50


async def test_http2_errors_close_the_connection() -> None:
    async with running(echo) as at:
        channel = await at.dial()
        assert (await channel.request("GET", "/"))[0] == 200
        assert channel._noise is not None
        channel.send_raw(channel._noise.seal(bytes.fromhex("000000 00 00 00000000")))  # DATA on stream 0
        await asyncio.wait_for(channel.closed.wait(), 5)
        assert channel.goaway
