"""The client side of the control protocol, as far as a server can tell: `/key`, Noise, HTTP/2, register, map.

One asyncio protocol per connection and no task of its own, so that thousands fit into one process. It keeps
to what stock clients do on the wire: their SETTINGS, their windows, their headers.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import zstandard
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings
from noise.connection import Keypair
from noise.connection import NoiseConnection as NoiseState

from coordinator.noise.connection import NoiseConnection
from coordinator.noise.early_payload import MAGIC
from coordinator.noise.handshake import PATTERN, prologue
from coordinator.noise.messages import RESPONSE_BYTES, Initiation, pack_initiation, parse_response

CAPABILITY_VERSION = 142
STREAM_WINDOW = 4 << 20
CONNECTION_WINDOW = 1 << 30
_EARLY_HEADER_BYTES = len(MAGIC) + 4
_LENGTH = struct.Struct("<I")


class StreamEndedError(Exception):
    """The server ended or reset a stream, or the connection is gone."""


def private_key() -> bytes:
    """A fresh X25519 private key."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_key(private: bytes) -> bytes:
    """Its public half."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


class Initiator:
    """The client's side of the handshake."""

    def __init__(self, private: bytes, server_key: bytes, version: int = CAPABILITY_VERSION) -> None:
        state = NoiseState.from_name(PATTERN)
        state.set_as_initiator()
        state.set_prologue(prologue(version))
        state.set_keypair_from_private_bytes(Keypair.STATIC, private)
        state.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, server_key)
        state.start_handshake()
        self._state = state
        self.initiation = pack_initiation(Initiation(version, bytes(state.write_message())))

    def finish(self, response: bytes) -> NoiseConnection:
        """The channel, from the server's 51 bytes."""
        self._state.read_message(parse_response(response))
        protocol = self._state.noise_protocol
        return NoiseConnection(
            receive_key=bytes(protocol.cipher_state_decrypt.k),
            send_key=bytes(protocol.cipher_state_encrypt.k),
        )


@dataclass(slots=True, eq=False)
class ClientStream:
    """One request of this client and what came back so far."""

    stream_id: int
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: int | None = None
    withheld: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class ControlChannel(asyncio.Protocol):
    """One Noise connection with HTTP/2 in it."""

    def __init__(
        self, initiator: Initiator, host: str, *, stream_window: int = STREAM_WINDOW, headers: str = ""
    ) -> None:
        self._headers = headers
        self._initiator = initiator
        self._host = host
        self._head = bytearray()
        self._noise: NoiseConnection | None = None
        self._plain: bytearray | None = bytearray()
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, ClientStream] = {}
        self.early_payload = b""
        self.manual_credit = False
        self.goaway = False
        self.closed = asyncio.Event()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: stream_window,
                SettingCodes.MAX_HEADER_LIST_SIZE: 10 << 20,
            },
        )
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(CONNECTION_WINDOW)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an isinstance check: uvloop's transports are none of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        handshake = base64.b64encode(self._initiator.initiation).decode()
        transport.write(
            f"POST /ts2021 HTTP/1.1\r\nHost: {self._host}\r\nUser-Agent: Go-http-client/1.1\r\n"
            "Content-Length: 0\r\nConnection: upgrade\r\nUpgrade: tailscale-control-protocol\r\n"
            f"X-Tailscale-Handshake: {handshake}\r\n{self._headers}\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if self._noise is not None:
            self._opened(self._noise.receive_data(data))
            return
        self._head += data
        head, end, rest = bytes(self._head).partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 101 "):
            self._fail(ConnectionError(head.split(b"\r\n")[0].decode("latin-1")))
            return
        if len(rest) < RESPONSE_BYTES:
            return
        self._noise = self._initiator.finish(rest[:RESPONSE_BYTES])
        self.ready.set_result(None)
        self.flush()
        if len(rest) > RESPONSE_BYTES:
            self._opened(self._noise.receive_data(rest[RESPONSE_BYTES:]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self._fail(ConnectionError("closed by the server"))
        for stream in self._streams.values():
            stream.changed.set()

    def _fail(self, error: Exception) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
        if self._transport is not None:
            self._transport.close()

    # HTTP/2

    def _opened(self, plaintext: bytes) -> None:
        if self._plain is not None:
            self._plain += plaintext
            if len(self._plain) < _EARLY_HEADER_BYTES:
                return
            data = bytes(self._plain)
            if data.startswith(MAGIC):
                end = _EARLY_HEADER_BYTES + int.from_bytes(data[len(MAGIC) : _EARLY_HEADER_BYTES], "big")
                if len(data) < end:
                    return
                self.early_payload, data = data[_EARLY_HEADER_BYTES:end], data[end:]
            self._plain, plaintext = None, data
        for event in self.h2.receive_data(plaintext):
            self._handle(event)
        self.flush()

    def _handle(self, event: events.Event) -> None:
        if isinstance(event, events.ConnectionTerminated):
            self.goaway = True
            return
        stream = self._streams.get(getattr(event, "stream_id", 0) or 0)
        if stream is None:
            return
        match event:
            case events.ResponseReceived():
                stream.headers = dict(event.headers)
                stream.status = int(stream.headers.pop(":status"))
            case events.DataReceived():
                stream.body += event.data
                if self.manual_credit:
                    stream.withheld += event.flow_controlled_length
                else:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case events.StreamEnded():
                stream.ended = True
            case events.StreamReset():
                stream.reset = int(event.error_code)
            case _:
                return
        stream.changed.set()

    def flush(self) -> None:
        """Seal and send what `h2` has ready."""
        data = self.h2.data_to_send()
        if data and self._noise is not None and self._transport is not None:
            self._transport.write(self._noise.seal(data))

    def credit(self, stream: ClientStream) -> None:
        """Return withheld flow-control credit."""
        self.h2.acknowledge_received_data(stream.withheld, stream.stream_id)
        stream.withheld = 0
        self.flush()

    def begin(
        self, method: str, path: str, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()
    ) -> ClientStream:
        """Start a request; the body must fit the server's windows."""
        if self.closed.is_set():
            raise StreamEndedError("the connection is closed")
        stream_id = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "https"), (":authority", self._host), (":path", path)]
        self.h2.send_headers(stream_id, [*fields, *headers], end_stream=not body)
        view = memoryview(body)
        for start in range(0, len(body), self.h2.max_outbound_frame_size):
            piece = view[start : start + self.h2.max_outbound_frame_size]
            self.h2.send_data(stream_id, piece, end_stream=start + len(piece) == len(body))
        stream = self._streams[stream_id] = ClientStream(stream_id)
        self.flush()
        return stream

    def cancel(self, stream: ClientStream) -> None:
        """RST_STREAM(CANCEL), as a client leaving its poll."""
        self._streams.pop(stream.stream_id, None)
        if not stream.ended and stream.reset is None and not self.closed.is_set():
            self.h2.reset_stream(stream.stream_id, ErrorCodes.CANCEL)
            self.flush()

    async def changed(self, stream: ClientStream) -> None:
        """Wait for more of a stream.

        Raises:
            StreamEndedError: it was reset, or the connection is gone.
        """
        await stream.changed.wait()
        stream.changed.clear()
        if stream.reset is not None:
            raise StreamEndedError(f"stream reset with {stream.reset}")
        if self.closed.is_set() and not stream.ended:
            raise StreamEndedError("the connection is closed")

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()
    ) -> tuple[int, dict[str, str], bytes]:
        """A whole exchange: status, headers, body."""
        stream = self.begin(method, path, body, headers)
        try:
            while not stream.ended:
                await self.changed(stream)
        finally:
            self.cancel(stream)
        return stream.status, stream.headers, bytes(stream.body)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def pause_reading(self) -> None:
        """Stop reading from the socket, as a client that hangs."""
        assert self._transport is not None
        self._transport.pause_reading()

    def send_raw(self, data: bytes) -> None:
        """Bytes below the Noise layer, for tests that break it."""
        assert self._transport is not None
        self._transport.write(data)


async def dial(
    host: str,
    port: int,
    server_key: bytes,
    machine_private: bytes,
    *,
    version: int = CAPABILITY_VERSION,
    stream_window: int = STREAM_WINDOW,
    headers: str = "",
) -> ControlChannel:
    """An established channel.

    Raises:
        ConnectionError: the server did not answer 101; the text is its status line.
    """
    initiator = Initiator(machine_private, server_key, version)
    _, channel = await asyncio.get_running_loop().create_connection(
        lambda: ControlChannel(initiator, f"{host}:{port}", stream_window=stream_window, headers=headers),
        host,
        port,
    )
    await channel.ready
    return channel


class FakeTailscaled:
    """One node: keys, one channel, and the requests that tailscaled makes."""

    def __init__(self, url: str, *, hostname: str = "node", version: int = CAPABILITY_VERSION) -> None:
        parts = urlsplit(url)
        self._url = url.rstrip("/")
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 80
        self._version = version
        self.hostname = hostname
        self.machine_private = private_key()
        self.node_private = private_key()
        self.disco_private = private_key()
        self.server_key: bytes | None = None
        self.channel: ControlChannel | None = None
        self.polls = 0
        self.headers = ""
        """More lines of the upgrade request, as a proxy adds them; each ends with CRLF."""

    @property
    def machine_key(self) -> str:
        """`mkey:` text form."""
        return "mkey:" + public_key(self.machine_private).hex()

    @property
    def node_key(self) -> str:
        """`nodekey:` text form."""
        return "nodekey:" + public_key(self.node_private).hex()

    @property
    def disco_key(self) -> str:
        """`discokey:` text form."""
        return "discokey:" + public_key(self.disco_private).hex()

    async def fetch_key(self, session: aiohttp.ClientSession | None = None) -> bytes:
        """The server's Noise key, from /key."""
        if session is None:
            async with aiohttp.ClientSession() as own:
                return await self.fetch_key(own)
        async with session.get(f"{self._url}/key", params={"v": self._version}) as response:
            response.raise_for_status()
            text = (await response.json())["publicKey"]
        self.server_key = bytes.fromhex(text.removeprefix("mkey:"))
        return self.server_key

    async def connect(self) -> ControlChannel:
        """The channel; dialled when there is none."""
        if self.channel is None or self.channel.closed.is_set():
            key = self.server_key or await self.fetch_key()
            self.channel = await dial(
                self._host, self._port, key, self.machine_private, version=self._version, headers=self.headers
            )
        return self.channel

    async def close(self) -> None:
        """Close the channel and wait until it is closed."""
        if self.channel is not None:
            self.channel.close()
            await self.channel.closed.wait()
            self.channel = None

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Any request over the channel."""
        return await (await self.connect()).request(method, path, body)

    def hostinfo(self, **fields: Any) -> dict[str, Any]:
        """What a Linux client says of itself, with changes."""
        return {
            "IPNVersion": "1.102.3",
            "BackendLogID": os.urandom(32).hex(),
            "OS": "linux",
            "OSVersion": "6.1.0",
            "Hostname": self.hostname,
            **fields,
        }

    async def register(self, auth_key: str | None = None, **fields: Any) -> dict[str, Any]:
        """A RegisterRequest; returns the RegisterResponse.

        Raises:
            ConnectionError: any status but 200.
        """
        document: dict[str, Any] = {
            "Version": self._version,
            "NodeKey": self.node_key,
            "OldNodeKey": "nodekey:" + "0" * 64,
            "Hostinfo": self.hostinfo(),
            **fields,
        }
        if auth_key is not None:
            document["Auth"] = {"AuthKey": auth_key}
        status, _, body = await self.request("POST", "/machine/register", json.dumps(document).encode())
        if status != 200:
            raise ConnectionError(f"register answered {status}: {body[:200]!r}")
        answer: dict[str, Any] = json.loads(body)
        return answer

    def map_request(self, **fields: Any) -> bytes:
        """A MapRequest as JSON."""
        document = {
            "Version": self._version,
            "Compress": "zstd",
            "NodeKey": self.node_key,
            "DiscoKey": self.disco_key,
            "Hostinfo": self.hostinfo(),
            **fields,
        }
        return json.dumps(document).encode()

    async def lite_update(self, **fields: Any) -> int:
        """Tell endpoints and Hostinfo; returns the status."""
        body = self.map_request(Stream=False, OmitPeers=True, **fields)
        status, _, _ = await self.request("POST", "/machine/map", body)
        return status

    async def one_shot_map(self, **fields: Any) -> dict[str, Any]:
        """One full map.

        Raises:
            ConnectionError: any status but 200.
        """
        status, _, body = await self.request("POST", "/machine/map", self.map_request(Stream=False, **fields))
        if status != 200:
            raise ConnectionError(f"map answered {status}: {body[:200]!r}")
        return next(iter(take_messages(bytearray(body))))

    @asynccontextmanager
    async def map_stream(self, **fields: Any) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """A streaming poll: `async with client.map_stream() as maps: async for m in maps`.

        Leaving the block resets the stream, as a client that leaves its poll.
        """
        channel = await self.connect()
        stream = channel.begin(
            "POST", "/machine/map", self.map_request(Stream=True, KeepAlive=True, **fields)
        )
        self.polls += 1
        try:
            yield _messages(channel, stream)
        finally:
            channel.cancel(stream)


def take_messages(buffer: bytearray) -> list[dict[str, Any]]:
    """Decode the complete map messages at the start of a buffer and remove them from it."""
    return [json.loads(text) for text in take_texts(buffer)]


def take_texts(buffer: bytearray) -> list[bytes]:
    """The complete map messages at the start of a buffer, as JSON; they are removed from it."""
    found: list[bytes] = []
    position = 0
    while len(buffer) - position >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer, position)
        end = position + _LENGTH.size + length
        if len(buffer) < end:
            break
        found.append(decompress(bytes(buffer[position + _LENGTH.size : end])))
        position = end
    del buffer[:position]
    return found


def decompress(data: bytes) -> bytes:
    """A message of several concatenated zstd frames, as the client's decoder reads it; or plain JSON."""
    if data.startswith(b"{"):
        return data
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return reader.read()


async def _messages(channel: ControlChannel, stream: ClientStream) -> AsyncIterator[dict[str, Any]]:
    while True:
        if stream.status not in (0, 200):
            raise ConnectionError(f"map answered {stream.status}")
        for message in take_messages(stream.body):
            yield message
        if stream.ended:
            return
        await channel.changed(stream)
