"""websocket: the same conversation inside binary messages."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import WSMsgType

from derp import frames, handshake
from derp.admission import KeyList
from derp.box import Box
from derp.frames import FrameReader, FrameType
from derp.handshake import ClientInfo
from derp.keys import generate_private_key, public_key_of
from derp.limits import Limits
from tests.derp.fake_client import ANY_FRAME, RunningRelay, running_relay


class WebSocketClient:
    """The client's side, in messages."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self.websocket = websocket
        self.private_key = generate_private_key()
        self.node_key = public_key_of(self.private_key)
        self.largest = 0
        self._frames = FrameReader(ANY_FRAME, 1 << 20)

    async def receive(self) -> tuple[int, bytes]:
        while (frame := self._frames.next_frame()) is None:
            message = await asyncio.wait_for(self.websocket.receive(), 5)
            if message.type is not WSMsgType.BINARY:
                raise EOFError
            self.largest = max(self.largest, len(message.data))
            self._frames.feed(message.data)
        return frame[0], bytes(frame[1])

    async def login(self) -> None:
        _, payload = await self.receive()
        box = Box(private_key=self.private_key, public_key=handshake.parse_server_key(payload))
        sealed = handshake.seal_client_info(
            ClientInfo(version=2), node_key=self.node_key, box=box, nonce=secrets.token_bytes(24)
        )
        await self.websocket.send_bytes(frames.client_info(sealed))
        frame_type, payload = await self.receive()
        assert frame_type == FrameType.SERVER_INFO
        assert handshake.open_server_info(payload, box).version == 2


@asynccontextmanager
async def browser(running: RunningRelay) -> AsyncIterator[WebSocketClient]:
    url = f"ws://127.0.0.1:{running.port}/derp"
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(url, protocols=("derp",), max_msg_size=1 << 20) as websocket,
    ):
        assert websocket.protocol == "derp"
        yield WebSocketClient(websocket)


async def test_packets_both_ways_between_the_two_kinds() -> None:
    async with running_relay() as running:
        native = await running.connect()
        async with browser(running) as client:
            await client.login()
            large = secrets.token_bytes(60_000)
            native.send(client.node_key, large)
            assert await client.receive() == (FrameType.RECV_PACKET, native.node_key + large)
            assert client.largest <= 32_768
            # A frame cut anywhere, even inside its header.
            frame = frames.send_packet(native.node_key, b"from a browser")
            await client.websocket.send_bytes(frame[:3])
            await client.websocket.send_bytes(frame[3:])
            assert await native.receive() == (FrameType.RECV_PACKET, client.node_key + b"from a browser")
        await running.until("clients", 1)
        assert await native.receive() == (FrameType.PEER_GONE, client.node_key + b"\x00")
        assert running.relay.stats.connections_ended == {"closed_by_client": 1}


async def test_refusal_closes_the_websocket() -> None:
    async with running_relay(admission=KeyList([])) as running:
        async with browser(running) as client:
            with pytest.raises(EOFError):
                await client.login()
        await running.until("connections", 0)
        assert running.relay.stats.connections_ended == {"not_admitted": 1}


@pytest.mark.parametrize("message", [b"x" * 1001, "text"], ids=["oversized", "text"])
async def test_other_messages_end_it(message: bytes | str) -> None:
    async with running_relay(limits=Limits(max_websocket_message=1000)) as running:
        async with browser(running) as client:
            await client.login()
            send = client.websocket.send_str if isinstance(message, str) else client.websocket.send_bytes
            await send(message)
            with pytest.raises(EOFError):
                await client.receive()
        await running.until("connections", 0)


async def test_closing_the_relay_ends_it() -> None:
    async with running_relay() as running, browser(running) as client:
        await client.login()
        await asyncio.gather(running.relay.close(), asyncio.wait_for(client.websocket.receive(), 5))
        assert running.relay.stats.connections == 0


async def test_a_reader_that_stops_is_cut() -> None:
    async with running_relay(limits=Limits(write_deadline=0.2, close_deadline=0.1)) as running:
        sender = await running.connect()
        async with browser(running) as client:
            await client.login()
            # How much the kernel takes before writing stalls differs; so send until the relay has had enough.
            async with asyncio.timeout(20):
                while running.relay.stats.clients == 2:
                    sender.write(frames.send_packet(client.node_key, bytes(60_000)) * 10)
                    await sender.settle()
        assert running.relay.stats.connections_ended == {"write_deadline": 1}
        assert running.relay.stats.packets_dropped["queue_full"] > 0


async def test_without_the_subprotocol_it_is_refused() -> None:
    async with running_relay() as running, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(f"ws://127.0.0.1:{running.port}/derp")
        assert caught.value.status == 400
