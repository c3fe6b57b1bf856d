"""upgrade: from HTTP to DERP, and every way it is refused."""

import asyncio

import pytest

from derp.frames import FrameType
from derp.limits import Limits
from derp.upgrade import switching_protocols
from tests.derp.fake_client import FakeClient, running_relay


async def ask(client: FakeClient, *headers: str, method: str = "GET") -> str:
    client.write("\r\n".join((f"{method} /derp HTTP/1.1", "Host: relay", *headers, "", "")).encode())
    return (await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 5)).decode()


def test_head() -> None:
    assert switching_protocols(bytes(32)).decode() == (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n"
        "Derp-Version: 2\r\nDerp-Public-Key: " + "00" * 32 + "\r\n\r\n"
    )


@pytest.mark.parametrize("name", ["DERP", "derp", "Derp"])
async def test_upgrade(name: str) -> None:
    async with running_relay() as running:
        client = await running.dial()
        head = await ask(client, "Connection: Upgrade", f"Upgrade: {name}", "Ideal-Node: 900a")
        assert head.encode() == switching_protocols(running.relay.public_key)
        await client.login()
        assert running.relay.connected(client.node_key)


async def test_fast_start_gets_frames_from_the_first_byte() -> None:
    async with running_relay() as running:
        client = await running.dial()
        client.write(
            b"GET /derp HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n"
            b"Derp-Fast-Start: 1\r\n\r\n"
        )
        await client.login()
        assert running.relay.connected(client.node_key)


async def test_no_upgrade() -> None:
    async with running_relay() as running:
        head = await ask(await running.dial())
        assert head.startswith("HTTP/1.1 426 ")
        assert "Upgrade: DERP" in head
        assert running.relay.stats.upgrades_refused == {"no_upgrade": 1}


@pytest.mark.parametrize("method", ["HEAD", "POST"])
async def test_other_methods(method: str) -> None:
    async with running_relay() as running:
        head = await ask(await running.dial(), "Content-Length: 0", "Upgrade: DERP", method=method)
        assert head.startswith("HTTP/1.1 405 ")


async def test_a_full_relay_refuses_until_somebody_leaves() -> None:
    async with running_relay(limits=Limits(max_connections=1)) as running:
        first = await running.connect()
        head = await ask(await running.dial(), "Connection: Upgrade", "Upgrade: DERP")
        assert head.startswith("HTTP/1.1 503 ")
        assert running.relay.stats.upgrades_refused == {"too_many_connections": 1}
        first.close()
        await running.until("connections", 0)
        await running.connect()


async def test_handshakes_are_limited_on_their_own() -> None:
    async with running_relay(limits=Limits(max_unauthenticated=1)) as running:
        await running.connect()
        silent = await running.dial()
        await silent.upgrade()
        head = await ask(await running.dial(), "Connection: Upgrade", "Upgrade: DERP")
        assert head.startswith("HTTP/1.1 503 ")
        silent.close()
        await running.until("unauthenticated", 0)
        await running.connect()


async def test_the_http_server_forgets_what_was_taken_over() -> None:
    async with running_relay() as running:
        client = await running.connect()
        # Longer than the server needs to write its own answer, had it kept the transport.
        await asyncio.sleep(0.05)
        assert [frame for frame, _ in await client.settle()] == []
        client.send(client.node_key, b"to myself")
        assert await client.receive() == (FrameType.RECV_PACKET, client.node_key + b"to myself")
