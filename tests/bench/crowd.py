"""Many simulated clients in this process: they join, keep their streams open and count what they are told."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_tailscaled import FakeTailscaled, StreamEndedError


@dataclass
class Member:
    """One client with its open stream."""

    client: FakeTailscaled
    peers: set[int] = field(default_factory=set)
    endpoints_of: dict[int, tuple[list[str], float]] = field(default_factory=dict)
    filters_seen: int = 0
    changed_at: float = 0.0
    node_id: int = 0
    full: asyncio.Event = field(default_factory=asyncio.Event)

    def apply(self, message: dict[str, Any]) -> None:
        """Keep what the measurements look at."""
        now = time.perf_counter()
        if "Node" in message:
            self.node_id = message["Node"]["ID"]
        for name in ("Peers", "PeersChanged"):
            for peer in message.get(name, ()):
                self.peers.add(peer["ID"])
                self.endpoints_of[peer["ID"]] = (peer.get("Endpoints", []), now)
        self.peers.difference_update(message.get("PeersRemoved", ()))
        for patch in message.get("PeersChangedPatch", ()):
            if "Endpoints" in patch:
                self.endpoints_of[patch["NodeID"]] = (patch["Endpoints"], now)
        if "PacketFilters" in message:
            self.filters_seen += 1
        self.changed_at = now
        self.full.set()


class Crowd:
    """All clients of one run."""

    def __init__(self, url: str, keys: list[str], count: int) -> None:
        self.members = [Member(FakeTailscaled(url, hostname=f"n{number}")) for number in range(count)]
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
            member.peers.clear()
            member.full.clear()
        await asyncio.gather(*(self._come_back(member) for member in self.members))

    async def converged(self, expected: int, timeout: float = 120.0) -> float:
        """Wait until everyone sees so many peers; returns the seconds it took."""
        began = time.perf_counter()
        async with asyncio.timeout(timeout):
            while any(len(member.peers) != expected for member in self.members):
                await asyncio.sleep(0.01)
        return time.perf_counter() - began

    async def announce(self, number: int, endpoint: str) -> list[float]:
        """One client has a new endpoint; returns each recipient's latency in seconds."""
        mover = self.members[number]
        viewers = [member for member in self.members if mover.node_id in member.peers]
        began = time.perf_counter()
        await mover.client.lite_update(Endpoints=[endpoint])
        async with asyncio.timeout(30):
            while not all(
                member.endpoints_of.get(mover.node_id, ([], 0.0))[0] == [endpoint] for member in viewers
            ):
                await asyncio.sleep(0.002)
        return [member.endpoints_of[mover.node_id][1] - began for member in viewers]

    async def close(self) -> None:
        """Leave for good."""
        await self._leave()

    async def _come_back(self, member: Member) -> None:
        await member.client.connect()
        await self._open(member)

    async def _open(self, member: Member) -> None:
        self._readers.append(asyncio.create_task(self._read(member)))
        async with asyncio.timeout(60):
            await member.full.wait()

    async def _read(self, member: Member) -> None:
        """Like a real client: a stream that the server ends is opened again, after a moment."""
        while True:
            try:
                await member.client.connect()
                async with member.client.map_stream() as maps:
                    async for message in maps:
                        member.apply(message)
            except (ConnectionError, OSError, StreamEndedError):
                await asyncio.sleep(0.05)
            self.lost += 1
            member.peers.clear()

    async def _leave(self) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        self._readers.clear()
        await asyncio.gather(*(member.client.close() for member in self.members))
