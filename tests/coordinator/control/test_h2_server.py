"""Many connections: counting, capping, closing."""

from __future__ import annotations

import asyncio
import base64
import random

import pytest
from structlog.testing import capture_logs

from coordinator.control.h2_server import ControlLimits, Request, ResponseStream
from coordinator.noise.keys import public_key
from tests.coordinator.control.running import SERVER_PUBLIC, Streams, echo, running, until
from tests.support.fake_tailscaled import ControlChannel, Initiator, private_key


async def test_the_peer_is_the_proven_one() -> None:
    seen: list[Request] = []

    async def handler(request: Request, response: ResponseStream) -> None:
        seen.append(request)
        await echo(request, response)

    async with running(handler) as at:
        machine = private_key()
        channel = await at.dial(machine, version=131)
        await channel.request("GET", "/")
        peer = seen[0].peer
        assert peer.machine_key == "mkey:" + public_key(machine).hex()
        assert (peer.version, peer.remote) == (131, "127.0.0.1")
        assert channel.early_payload.startswith(b'{"nodeKeyChallenge"')
        channel.close()


async def test_several_connections_of_one_machine_live_side_by_side() -> None:
    async with running(echo) as at:
        machine = private_key()
        channels = [await at.dial(machine) for _ in range(3)]
        assert at.server.connections == 3
        for channel in channels:
            assert (await channel.request("GET", "/"))[0] == 200
            channel.close()
        await until(lambda: at.server.connections == 0)
        assert at.server.stats.requests == 3


async def test_too_many_of_one_machine_cost_the_oldest() -> None:
    async with running(echo, ControlLimits(max_connections_per_machine=2)) as at:
        machine = private_key()
        channels = [await at.dial(machine) for _ in range(3)]
        other = await at.dial()
        await asyncio.wait_for(channels[0].closed.wait(), 5)
        for channel in (channels[1], channels[2], other):
            assert (await channel.request("GET", "/"))[0] == 200
            channel.close()


async def test_connections_are_capped() -> None:
    async with running(echo, ControlLimits(max_connections=2)) as at:
        channels = [await at.dial(), await at.dial()]
        with pytest.raises(ConnectionError, match="503"):
            await at.dial()
        assert at.server.stats.refused == 1
        channels[0].close()
        await until(lambda: at.server.connections == 1)
        channels[0] = await at.dial()
        for channel in channels:
            channel.close()


async def test_silent_peers_are_dropped_and_hurt_nobody() -> None:
    limits = ControlLimits(preface_deadline=0.3)
    async with running(echo, limits) as at:
        good = await at.dial()
        silent: list[asyncio.StreamWriter] = []
        for _ in range(50):
            _, writer = await asyncio.open_connection("127.0.0.1", at.port)
            writer.write(b"POST /ts2021 HTTP/1.1\r\nHost:")  # half-open
            silent.append(writer)
        mute = [await dial_and_say_nothing(at.port) for _ in range(50)]
        assert (await asyncio.wait_for(good.request("GET", "/"), 10))[0] == 200
        # Each mute dial has seen its answer: they were there, however slow this machine is.
        assert at.server.stats.handshakes == 51
        await until(lambda: at.server.connections == 1)
        assert (await good.request("GET", "/"))[0] == 200
        for writer in (*silent, *mute):
            writer.close()
        good.close()


async def dial_and_say_nothing(port: int) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    text = base64.b64encode(Initiator(private_key(), SERVER_PUBLIC).initiation)
    writer.write(
        b"POST /ts2021 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: upgrade\r\n"
        b"Upgrade: tailscale-control-protocol\r\nX-Tailscale-Handshake: " + text + b"\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    return writer


async def test_a_storm_of_dials_is_served() -> None:
    async with running(echo) as at:
        channels = await asyncio.gather(*(at.dial() for _ in range(100)))
        statuses = await asyncio.gather(*(channel.request("GET", "/") for channel in channels))
        assert {status for status, _, _ in statuses} == {200}
        assert at.server.stats.handshakes == 100
        for channel in channels:
            channel.close()


async def test_close_says_goodbye_and_lets_handlers_finish() -> None:
    streams = Streams()

    async def handler(request: Request, response: ResponseStream) -> None:
        if request.path == "/map":
            await streams(request, response)
            return
        await asyncio.sleep(0.1)
        await echo(request, response)

    async with running(handler) as at:
        channel = await at.dial()
        channel.begin("POST", "/map")
        answer = asyncio.ensure_future(channel.request("GET", "/slow"))
        await until(lambda: bool(streams.open))
        await asyncio.wait_for(at.server.close(5), 2)
        assert (await answer)[0] == 200
        assert channel.goaway and channel.closed.is_set()
        assert at.server.connections == 0 and streams.open[0].closed
        with pytest.raises(ConnectionError, match="503"):
            await at.dial()


async def test_close_does_not_wait_for_ever() -> None:
    async def handler(request: Request, response: ResponseStream) -> None:
        await asyncio.sleep(60)

    async with running(handler) as at:
        channel = await at.dial()
        channel.begin("GET", "/")
        await asyncio.sleep(0.05)
        await asyncio.wait_for(at.server.close(0.2), 2)
        await until(lambda: at.server.connections == 0)
        channel.close()


async def test_one_line_tells_the_story_of_a_connection() -> None:
    async with running(echo) as at:
        with capture_logs() as logs:
            channel = await at.dial()
            await channel.request("POST", "/", b"x")
            channel.close()
            await until(lambda: at.server.connections == 0)
    (line,) = [line for line in logs if line["event"] == "control connection ended"]
    assert line["requests"] == 1 and line["capability_version"] == 142
    assert line["reason"] == "closed by the client"
    assert line["bytes_in"] > 0 and line["bytes_out"] > 0


async def test_random_bytes_inside_the_channel_never_hurt_the_server() -> None:
    rng = random.Random(7)
    async with running(echo) as at:
        with capture_logs() as logs:
            for _ in range(60):
                channel = await at.dial()
                await send_noise(channel, rng)
                channel.close()
            await until(lambda: at.server.connections == 0)
        # Closed connections, each with its line; no exception on the way.
        assert {line["event"] for line in logs} == {"control connection ended"}
        good = await at.dial()
        assert (await good.request("GET", "/"))[0] == 200
        good.close()


async def send_noise(channel: ControlChannel, rng: random.Random) -> None:
    """A frame of a random type with random flags and content, properly sealed."""
    assert channel._noise is not None
    for _ in range(5):
        body = rng.randbytes(rng.randrange(0, 60))
        frame = len(body).to_bytes(3, "big") + bytes((rng.randrange(0, 11), rng.randrange(0, 64)))
        frame += rng.choice((0, 1, 3)).to_bytes(4, "big") + body
        channel.send_raw(channel._noise.seal(frame))
    await asyncio.sleep(0.005)
