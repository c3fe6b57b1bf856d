"""websocket: the same conversation inside binary messages."""

import asyncio
import secrets

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


def url(running: RunningRelay) -> str:
    return f"ws://127.0.0.1:{running.port}/derp"


async def test_packets_both_ways_between_the_two_kinds() -> None:
    async with running_relay() as running, aiohttp.ClientSession() as http:
        async with http.ws_connect(url(running), protocols=("derp",), max_msg_size=1 << 20) as websocket:
            assert websocket.protocol == "derp"
            browser, native = WebSocketClient(websocket), await running.connect()
            await browser.login()
            large = secrets.token_bytes(frames.HEADER_LENGTH + 60_000)
            native.send(browser.node_key, large)
            assert await browser.receive() == (FrameType.RECV_PACKET, native.node_key + large)
            assert browser.largest <= 32_768
            # A frame cut anywhere, even inside its header.
            frame = frames.send_packet(native.node_key, b"from a browser")
            await websocket.send_bytes(frame[:3])
            await websocket.send_bytes(frame[3:])
            assert await native.receive() == (FrameType.RECV_PACKET, browser.node_key + b"from a browser")
        await running.until("clients", 1)
        assert await native.receive() == (FrameType.PEER_GONE, browser.node_key + b"\x00")
        assert running.relay.stats.connections_ended == {"closed_by_client": 1}


async def test_refusal_closes_the_websocket() -> None:
    async with running_relay(admission=KeyList([])) as running, aiohttp.ClientSession() as http:
        async with http.ws_connect(url(running), protocols=("derp",)) as websocket:
            with pytest.raises(EOFError):
                await WebSocketClient(websocket).login()
        await running.until("connections", 0)
        assert running.relay.stats.connections_ended == {"not_admitted": 1}


async def test_text_and_oversized_messages_end_it() -> None:
    async with running_relay(limits=Limits(max_websocket_message=1000)) as running:
        async with aiohttp.ClientSession() as http:
            for message in (b"x" * 1001, "text"):
                async with http.ws_connect(url(running), protocols=("derp",)) as websocket:
                    client = WebSocketClient(websocket)
                    await client.login()
                    await (
                        websocket.send_str(message)
                        if isinstance(message, str)
                        else websocket.send_bytes(message)
                    )
                    with pytest.raises(EOFError):
                        await client.receive()
                await running.until("connections", 0)


async def test_closing_the_relay_ends_it() -> None:
    async with running_relay() as running, aiohttp.ClientSession() as http:
        async with http.ws_connect(url(running), protocols=("derp",)) as websocket:
            client = WebSocketClient(websocket)
            await client.login()
            await asyncio.gather(running.relay.close(), asyncio.wait_for(websocket.receive(), 5))
            assert running.relay.stats.connections == 0


async def test_a_reader_that_stops_is_cut() -> None:
    limits = Limits(write_deadline=0.2, close_deadline=0.1)
    async with running_relay(limits=limits) as running, aiohttp.ClientSession() as http:
        async with http.ws_connect(url(running), protocols=("derp",)) as websocket:
            client, sender = WebSocketClient(websocket), await running.connect()
            await client.login()
            for _ in range(400):
                sender.send(client.node_key, bytes(60_000))
                await sender.writer.drain()
            await running.until("clients", 1)
        assert running.relay.stats.connections_ended == {"write_deadline": 1}
        assert running.relay.stats.packets_dropped["queue_full"] > 0


async def test_without_the_subprotocol_it_is_refused() -> None:
    async with running_relay() as running, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(url(running))
        assert caught.value.status == 400
