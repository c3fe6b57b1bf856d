"""How fast access windows open and close, beside so many idle clients.

    python -m tests.bench.windows [--idle 10,1000] [--windows 50]

Simulated clients in this process, the server in one of its own. The idle ones keep their streams open under a
policy of 50 tags; a laptop and a management server get one window after the other. Times end when the map of
both has the other as a peer, or no longer has it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import time
from datetime import UTC, datetime

import aiohttp

from tests.bench.__main__ import TAGS, policy
from tests.bench.crowd import Crowd
from tests.bench.process import MeasuredServer, servers

BASE = "/api/v1/access/requests"
PROFILE = {"src": ["ada@"], "dst": ["tag:mgmt:22,443"], "approvers": ["bob@"], "ssh": {"users": ["root"]}}


def windows_policy() -> dict[str, object]:
    """The policy of the idle ones, and a profile."""
    base = policy("tenth")
    owners = base["tagOwners"]
    assert isinstance(owners, dict)
    return {**base, "tagOwners": {**owners, "tag:mgmt": []}, "access": {"profiles": {"mgmt": PROFILE}}}


class Pair:
    """The laptop and the management server, and the person at the keyboard."""

    def __init__(self, session: aiohttp.ClientSession, crowd: Crowd) -> None:
        self._session = session
        self._laptop, self._target = crowd.members
        self.figures: dict[str, list[float]] = {
            "approval to both open": [],
            "revocation to both closed": [],
            "end to both closed": [],
        }

    async def call(self, path: str, **body: object) -> dict[str, str]:
        async with self._session.post(BASE + path, json=body) as response:
            document = await response.json()
            if response.status != 200:
                raise RuntimeError(f"{path}: {document}")
            found: dict[str, str] = document["request"]
            return found

    async def until(self, wanted: bool) -> None:
        """Until both see each other, or neither does."""

        def seen() -> tuple[bool, bool]:
            one, other = self._laptop, self._target
            return bool(one.peers >> other.node_id & 1), bool(other.peers >> one.node_id & 1)

        async with asyncio.timeout(30):
            while seen() != (wanted, wanted):
                await asyncio.sleep(0.0005)

    async def open(self, duration: str) -> dict[str, str]:
        asked = await self.call("", profile="mgmt", user="ada", duration=duration)
        began = time.perf_counter()
        approved = await self.call(f"/{asked['id']}/approve", **{"as": "bob"})
        await self.until(True)
        self.figures["approval to both open"].append(time.perf_counter() - began)
        return approved

    async def revoked(self) -> None:
        """One window that somebody ends."""
        request = await self.open("1h")
        began = time.perf_counter()
        await self.call(f"/{request['id']}/revoke", **{"as": "bob"})
        await self.until(False)
        self.figures["revocation to both closed"].append(time.perf_counter() - began)

    async def expired(self) -> None:
        """One window that ends by itself."""
        request = await self.open("1s")
        await self.until(False)
        closes_at = datetime.fromisoformat(request["closes_at"])
        self.figures["end to both closed"].append((datetime.now(UTC) - closes_at).total_seconds())


async def measure(server: MeasuredServer, idle: int, windows: int) -> dict[str, list[float]]:
    """All windows beside so many idle clients."""
    await server.start()
    try:
        for name in ("ada", "bob"):
            await server.cli("users", "create", name)
        await server.set_policy(windows_policy())
        idle_keys = [await server.auth_key("--tags", f"tag:t{number}") for number in range(min(TAGS, idle))]
        pair_keys = [await server.auth_key("--user", "1"), await server.auth_key("--tags", "tag:mgmt")]
        crowd, both = Crowd(server.url, idle_keys, idle), Crowd(server.url, pair_keys, 2)
        connector = aiohttp.UnixConnector(str(server.config.with_name("s.sock")))
        async with aiohttp.ClientSession("http://localhost", connector=connector) as session:
            await crowd.join()
            await both.join()
            await asyncio.sleep(2)
            pair = Pair(session, both)
            before = server.usage().cpu
            for _ in range(windows):
                await pair.revoked()
            figures = {**pair.figures, "CPU a window": [(server.usage().cpu - before) / windows]}
            for _ in range(windows):
                await pair.expired()
        await both.close()
        await crowd.close()
    finally:
        server.stop()
    return figures


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.windows")
    parser.add_argument("--idle", default="10,1000", help="comma list")
    parser.add_argument("--windows", type=int, default=50, help="so many that are revoked, and that expire")
    arguments = parser.parse_args()
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, loopback"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}, {arguments.windows} windows of each kind\n")
    print("| idle clients | figure | median ms | p95 ms | longest ms |\n|---|---|---|---|---|")
    for idle in (int(text) for text in arguments.idle.split(",")):
        for figure, values in asyncio.run(measure(servers()[0], idle, arguments.windows)).items():
            high = statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]
            cells = " | ".join(
                f"{1000 * value:.0f}" for value in (statistics.median(values), high, max(values))
            )
            print(f"| {idle} | {figure} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
