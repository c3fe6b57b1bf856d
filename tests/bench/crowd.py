"""Many simulated clients in this process: they join, keep their streams open and count what they are told."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import msgspec

from tests.support.fake_tailscaled import FakeTailscaled, StreamEndedError, take_texts

MAP_SECONDS = 120
_ABSENT = msgspec.Raw(b"")


class _Peer(msgspec.Struct):
    """What the measurements look at of a Node."""

    ID: int
    Endpoints: list[str] | None = None


class _Patch(msgspec.Struct):
    """And of a PeerChange."""

    NodeID: int
    Endpoints: list[str] | None = None


class _Message(msgspec.Struct):
    """And of a MapResponse; the rest is skipped, not built, so that thousands fit into a process."""

    Node: _Peer | None = None
    Peers: list[_Peer] | None = None
    PeersChanged: list[_Peer] | None = None
    PeersRemoved: list[int] | None = None
    PeersChangedPatch: list[_Patch] | None = None
    PacketFilters: msgspec.Raw = _ABSENT


_DECODER = msgspec.json.Decoder(_Message)


@dataclass
class Watched:
    """An endpoint whose arrival is timed."""

    node_id: int = 0
    endpoint: str = ""


@dataclass
class Member:
    """One client with its open stream; `peers` is a bit set of node ids."""

    client: FakeTailscaled
    watched: Watched
    peers: int = 0
    heard_at: float = 0.0
    filters_seen: int = 0
    node_id: int = 0
    full: asyncio.Event = field(default_factory=asyncio.Event)

    def apply(self, text: bytes) -> None:
        """Keep what the measurements look at."""
        message = _DECODER.decode(text)
        if message.Node is not None:
            self.node_id = message.Node.ID
        for peer in (*(message.Peers or ()), *(message.PeersChanged or ())):
            self.peers |= 1 << peer.ID
            self._look_at(peer.ID, peer.Endpoints)
        for node_id in message.PeersRemoved or ():
            self.peers &= ~(1 << node_id)
        for patch in message.PeersChangedPatch or ():
            self._look_at(patch.NodeID, patch.Endpoints)
        if message.PacketFilters:
            self.filters_seen += 1
        self.full.set()

    def _look_at(self, node_id: int, endpoints: list[str] | None) -> None:
        if node_id == self.watched.node_id and endpoints and self.watched.endpoint in endpoints:
            self.heard_at = time.perf_counter()


class Crowd:
    """All clients of one run."""

    def __init__(self, url: str, keys: list[str], count: int) -> None:
        self._watched = Watched()
        self.members = [
            Member(FakeTailscaled(url, hostname=f"n{number}"), self._watched) for number in range(count)
        ]
        self.lost = 0
        self._keys = keys
        self._readers: list[asyncio.Task[None]] = []

    async def join(self, concurrency: int = 32) -> None:
        """Register, open the stream, send one lite update, as tailscaled does."""
        gate = asyncio.Semaphore(concurrency)

        async def one(number: int, member: Member) -> None:
            async with gate:
                await member.client.connect()
                answer = await member.client.register(self._keys[number % len(self._keys)])
                if not answer["MachineAuthorized"]:
                    raise RuntimeError(f"join refused: {answer}")
                await self._open(member)
                await member.client.lite_update(Endpoints=[f"192.0.2.1:{number % 60000 + 1}"])

        await asyncio.gather(*(one(number, member) for number, member in enumerate(self.members)))

    async def reconnect(self) -> None:
        """All connections close at once and come back with the same keys."""
        await self._leave()
        for member in self.members:
            member.peers = 0
            member.full.clear()
        await asyncio.gather(*(self._come_back(member) for member in self.members))

    async def converged(self, expected: int, timeout: float = 300.0) -> float:
        """Wait until everyone sees so many peers; returns the seconds it took."""
        began = time.perf_counter()
        async with asyncio.timeout(timeout):
            while any(member.peers.bit_count() != expected for member in self.members):
                await asyncio.sleep(0.01)
        return time.perf_counter() - began

    async def announce(self, number: int, endpoint: str) -> list[float]:
        """One client has a new endpoint; returns each recipient's latency in seconds."""
        mover = self.members[number]
        viewers = [member for member in self.members if member.peers >> mover.node_id & 1]
        for member in viewers:
            member.heard_at = 0.0
        self._watched.node_id, self._watched.endpoint = mover.node_id, endpoint
        began = time.perf_counter()
        await mover.client.lite_update(Endpoints=[endpoint])
        async with asyncio.timeout(30):
            while not all(member.heard_at for member in viewers):
                await asyncio.sleep(0.002)
        return [member.heard_at - began for member in viewers]

    async def close(self) -> None:
        """Leave for good."""
        await self._leave()

    async def _come_back(self, member: Member) -> None:
        await member.client.connect()
        await self._open(member)

    async def _open(self, member: Member) -> None:
        reader = asyncio.create_task(self._read(member))
        self._readers.append(reader)
        full = asyncio.ensure_future(member.full.wait())
        await asyncio.wait({reader, full}, timeout=MAP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if reader.done():
            reader.result()
        if not full.done():
            raise TimeoutError(f"no map within {MAP_SECONDS} s")

    async def _read(self, member: Member) -> None:
        """Like a real client: a stream that the server ends is opened again, after a moment."""
        while True:
            try:
                await self._poll(member)
            except (ConnectionError, OSError, StreamEndedError):
                await asyncio.sleep(0.05)
            self.lost += 1
            member.peers = 0

    async def _poll(self, member: Member) -> None:
        """One map stream until its end."""
        client = member.client
        channel = await client.connect()
        stream = channel.begin("POST", "/machine/map", client.map_request(Stream=True, KeepAlive=True))
        try:
            while not stream.ended:
                await channel.changed(stream)
                for text in take_texts(stream.body):
                    member.apply(text)
        finally:
            channel.cancel(stream)

    async def _leave(self) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        self._readers.clear()
        await asyncio.gather(*(member.client.close() for member in self.members))
