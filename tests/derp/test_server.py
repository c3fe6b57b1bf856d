"""server: the relay as one object: mounting, disconnecting, closing, numbers."""

import asyncio

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from derp.admission import AllowAll
from derp.frames import FrameType
from derp.keys import generate_private_key, public_key_of
from derp.server import Relay
from tests.derp.fake_client import FakeClient, running_relay


def test_the_key_must_be_one() -> None:
    with pytest.raises(ValueError, match="got 31"):
        Relay(private_key=bytes(31), admission=AllowAll())


def test_public_key() -> None:
    private_key = generate_private_key()
    relay = Relay(private_key=private_key, admission=AllowAll())
    assert relay.public_key == public_key_of(private_key)


async def test_one_relay_behind_several_listeners() -> None:
    async with running_relay() as running:
        app = web.Application()
        app.add_routes(running.relay.routes())
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
        elsewhere, here = FakeClient(reader, writer), await running.connect()
        await elsewhere.upgrade()
        await elsewhere.login()
        elsewhere.send(here.node_key, b"hi")
        assert await here.receive() == (FrameType.RECV_PACKET, elsewhere.node_key + b"hi")
        elsewhere.close()
        await runner.cleanup()


async def test_disconnect() -> None:
    async with running_relay() as running:
        key = generate_private_key()
        a, again, b = await running.connect(key), await running.connect(key), await running.connect()
        assert running.relay.connected(a.node_key)
        running.relay.disconnect(a.node_key)
        assert not running.relay.connected(a.node_key)
        assert await a.closed()
        assert await again.closed()
        assert await b.settle() == []
        running.relay.disconnect(bytes(32))


class Deciding:
    """Says yes, but only when told to."""

    def __init__(self) -> None:
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def admit(self, node_key: bytes, source: str) -> bool:
        self.asked.set()
        await self.answer.wait()
        return True


async def test_disconnect_while_the_admission_is_decided() -> None:
    admission = Deciding()
    async with running_relay(admission=admission) as running:
        client = await running.dial()
        await client.upgrade()
        await client.introduce()
        await asyncio.wait_for(admission.asked.wait(), 5)
        running.relay.disconnect(client.node_key)
        admission.answer.set()
        with pytest.raises(EOFError):
            await client.receive()
        assert not running.relay.connected(client.node_key)


async def test_close_ends_everything_in_whatever_state() -> None:
    admission = Deciding()
    async with running_relay(admission=admission) as running:
        silent, waiting = await running.dial(), await running.dial()
        await silent.upgrade()
        await waiting.upgrade()
        await waiting.introduce()
        await asyncio.wait_for(admission.asked.wait(), 5)
        await asyncio.wait_for(running.relay.close(), 5)
        stats = running.relay.stats
        assert (stats.connections, stats.unauthenticated, stats.clients) == (0, 0, 0)
        assert stats.connections_ended == {"relay_closed": 2}
        late = await running.dial()
        late.write(b"GET /derp HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n")
        assert b"503" in await asyncio.wait_for(late.reader.readline(), 5)


async def test_what_was_sent_before_close_still_arrives() -> None:
    async with running_relay() as running:
        a, b = await running.connect(), await running.connect()
        a.send(b.node_key, b"last words")
        await a.settle()
        await running.relay.close()
        assert await b.receive() == (FrameType.RECV_PACKET, a.node_key + b"last words")
        with pytest.raises(EOFError):
            await b.receive()


async def test_metrics_come_and_go_with_the_relay() -> None:
    registry = CollectorRegistry()
    relay = Relay(private_key=generate_private_key(), admission=AllowAll(), metrics=registry)
    assert b"derp_accepted_total 0.0" in generate_latest(registry)
    await relay.start()
    await relay.close()
    await relay.close()
    assert generate_latest(registry) == b""
