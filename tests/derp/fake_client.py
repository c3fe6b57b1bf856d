"""The client's side of DERP over a real socket, and a relay on a loopback port to talk to."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from derp import frames, handshake
from derp.admission import Admission, AllowAll
from derp.box import Box
from derp.frames import FrameReader, FrameType
from derp.handshake import ClientInfo, ServerInfo
from derp.keys import generate_private_key, public_key_of
from derp.limits import Limits
from derp.server import Relay

ANY_FRAME = dict.fromkeys(FrameType, 1 << 20)
PATIENCE = 5.0

Frame = tuple[int, bytes]


class FakeClient:
    """Speaks frames over a stream that has been upgraded."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, private_key: bytes | None = None
    ) -> None:
        self.reader, self.writer = reader, writer
        self.private_key = private_key or generate_private_key()
        self.node_key = public_key_of(self.private_key)
        self.head = b""
        self._frames = FrameReader(ANY_FRAME, 1 << 20)

    async def upgrade(self, *headers: str) -> None:
        lines = ("GET /derp HTTP/1.1", "Host: relay", "Connection: Upgrade", "Upgrade: DERP", *headers)
        self.write("\r\n".join((*lines, "", "")).encode())
        self.head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)

    async def login(self) -> ServerInfo:
        box = await self.introduce()
        frame_type, payload = await self.receive()
        assert frame_type == FrameType.SERVER_INFO
        return handshake.open_server_info(payload, box)

    async def introduce(self, *more: bytes) -> Box:
        """ServerKey in, ClientInfo out, with `more` frames right behind."""
        frame_type, payload = await self.receive()
        assert frame_type == FrameType.SERVER_KEY
        box = Box(private_key=self.private_key, public_key=handshake.parse_server_key(payload))
        sealed = handshake.seal_client_info(
            ClientInfo(version=2, can_ack_pings=True),
            node_key=self.node_key,
            box=box,
            nonce=secrets.token_bytes(24),
        )
        self.write(frames.client_info(sealed) + b"".join(more))
        return box

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def send(self, destination: bytes, packet: bytes) -> None:
        self.write(frames.send_packet(destination, packet))

    async def receive(self) -> Frame:
        """The next frame.

        Raises:
            EOFError: the relay has closed the connection.
        """
        while (frame := self._frames.next_frame()) is None:
            data = await asyncio.wait_for(self.reader.read(65_536), PATIENCE)
            if not data:
                raise EOFError
            self._frames.feed(data)
        return frame[0], bytes(frame[1])

    async def settle(self) -> list[Frame]:
        """What arrives before the answer to a Ping: by then all earlier frames have had effect."""
        token = secrets.token_bytes(8)
        self.write(frames.ping(token))
        seen: list[Frame] = []
        while (frame := await self.receive()) != (FrameType.PONG, token):
            seen.append(frame)
        return seen

    async def closed(self) -> bool:
        """Whether the relay closes the connection, whatever else it sends before."""
        try:
            while True:
                await self.receive()
        except (EOFError, ConnectionError):
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self.writer.close()


@dataclass
class RunningRelay:
    """A relay on a loopback port, and its clients."""

    relay: Relay
    port: int
    tls: ssl.SSLContext | None
    clients: list[FakeClient]

    async def dial(self, private_key: bytes | None = None) -> FakeClient:
        """A TCP or TLS connection, nothing more."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls)
        client = FakeClient(reader, writer, private_key)
        self.clients.append(client)
        return client

    async def connect(self, private_key: bytes | None = None) -> FakeClient:
        """A client that is logged in."""
        client = await self.dial(private_key)
        await client.upgrade()
        await client.login()
        return client

    async def until(self, condition: str, value: int) -> None:
        """Wait until one of the relay's numbers has a value."""
        for _ in range(500):
            if getattr(self.relay.stats, condition) == value:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{condition} is {getattr(self.relay.stats, condition)}, not {value}")


@asynccontextmanager
async def running_relay(
    *,
    admission: Admission | None = None,
    limits: Limits | None = None,
    server_tls: ssl.SSLContext | None = None,
    client_tls: ssl.SSLContext | None = None,
) -> AsyncIterator[RunningRelay]:
    relay = Relay(
        private_key=generate_private_key(),
        admission=admission or AllowAll(),
        limits=limits,
        bootstrap_names=("localhost",),
    )
    app = web.Application()
    app.add_routes(relay.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls).start()
    await relay.start()
    running = RunningRelay(relay, runner.addresses[0][1], client_tls, [])
    try:
        yield running
    finally:
        await relay.close()
        for client in running.clients:
            client.close()
        await runner.cleanup()
