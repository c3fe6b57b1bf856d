"""The WebSocket variant: the same byte stream in binary messages of any size."""

from __future__ import annotations

import asyncio
import base64
from urllib.parse import quote

from aiohttp import ClientSession, ClientWebSocketResponse
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection

from coordinator.noise.connection import NoiseConnection
from coordinator.noise.messages import RESPONSE_BYTES
from tests.coordinator.control.running import SERVER_PUBLIC, Streams, echo, running, until
from tests.support.fake_tailscaled import Initiator, private_key

HEADERS = [(":method", "GET"), (":scheme", "https"), (":authority", "x")]


async def shake(socket: ClientWebSocketResponse, initiator: Initiator) -> tuple[NoiseConnection, bytes]:
    head = b""
    while len(head) < RESPONSE_BYTES:
        head += await socket.receive_bytes(timeout=5)
    return initiator.finish(head[:RESPONSE_BYTES]), head[RESPONSE_BYTES:]


def url(port: int, initiator: Initiator) -> str:
    text = quote(base64.b64encode(initiator.initiation).decode(), safe="")
    return f"http://127.0.0.1:{port}/ts2021?X-Tailscale-Handshake={text}"


async def test_a_request_in_single_bytes() -> None:
    async with running(echo) as at, ClientSession() as session:
        initiator = Initiator(private_key(), SERVER_PUBLIC)
        async with session.ws_connect(
            url(at.port, initiator), protocols=("tailscale-control-protocol",)
        ) as socket:
            assert socket.protocol == "tailscale-control-protocol"
            noise, rest = await shake(socket, initiator)
            client = H2Connection(H2Configuration(client_side=True))
            client.initiate_connection()
            client.send_headers(1, [*HEADERS, (":path", "/ws")], end_stream=True)
            sealed = noise.seal(client.data_to_send())
            for position in range(len(sealed)):
                await socket.send_bytes(sealed[position : position + 1])
            body, ended = b"", False
            async with asyncio.timeout(5):
                while not ended:
                    for event in client.receive_data(noise.receive_data(rest)):
                        if isinstance(event, events.DataReceived):
                            body += event.data
                        ended = ended or isinstance(event, events.StreamEnded)
                    rest = b"" if ended else await socket.receive_bytes()
            assert body == b"GET /ws {} "
        await until(lambda: at.server.connections == 0)


async def test_back_pressure_and_abort() -> None:
    streams = Streams()
    async with running(streams) as at, ClientSession() as session:
        initiator = Initiator(private_key(), SERVER_PUBLIC)
        socket = await session.ws_connect(url(at.port, initiator), max_msg_size=0)
        noise, _ = await shake(socket, initiator)
        client = H2Connection(H2Configuration(client_side=True))
        client.initiate_connection()
        client.increment_flow_control_window(1 << 30)
        client.send_headers(1, [*HEADERS, (":path", "/map")], end_stream=True)
        client.increment_flow_control_window(1 << 30, 1)
        await socket.send_bytes(noise.seal(client.data_to_send()))
        await until(lambda: bool(streams.open))
        # Nobody reads: the transport's queue fills up to its mark, the rest stays with the stream.
        assert streams.open[0].try_push(bytes(60_000_000))
        await asyncio.sleep(0.1)
        assert streams.open[0].busy
        await asyncio.wait_for(at.server.close(0.2), 5)
        assert streams.open[0].closed
        await until(lambda: at.server.connections == 0)
        await socket.close()


async def test_text_ends_the_connection() -> None:
    async with running(echo) as at, ClientSession() as session:
        initiator = Initiator(private_key(), SERVER_PUBLIC)
        async with session.ws_connect(url(at.port, initiator)) as socket:
            await shake(socket, initiator)
            assert at.server.connections == 1
            await socket.send_str("hello")
            await until(lambda: at.server.connections == 0)


async def test_a_plain_get_is_refused() -> None:
    async with (
        running(echo) as at,
        ClientSession() as session,
        session.get(f"http://127.0.0.1:{at.port}/ts2021") as response,
    ):
        assert response.status == 400
        assert "POST" in await response.text()
