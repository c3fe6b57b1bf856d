"""Connections that end leave no reference cycles: what survives is set aside from the collector."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
from collections import Counter
from pathlib import Path

import uvloop

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running, running_server

CLIENTS = 20


def clients(url: str, key: str, count: int) -> None:
    """Join, poll, tell, leave; in a process of its own, whose cycles are not the server's."""

    async def run() -> None:
        for number in range(count):
            client = FakeTailscaled(url, hostname=f"h{number}")
            await client.connect()
            await client.register(key)
            async with client.map_stream() as maps:
                await anext(maps)
                await client.lite_update(Endpoints=["192.0.2.9:1"])
            await client.close()

    asyncio.run(run())


async def crowd(server: Running, key: str, count: int) -> None:
    process = multiprocessing.get_context("spawn").Process(target=clients, args=(server.url, key, count))
    process.start()
    while process.is_alive():
        await asyncio.sleep(0.05)
    assert process.exitcode == 0


async def left_behind(directory: Path) -> list[object]:
    async with running_server(directory) as server:
        key = await server.auth_key(reusable=True)
        await crowd(server, key, 2)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await crowd(server, key, CLIENTS)
            await asyncio.sleep(0.2)
            gc.collect()
            return list(gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()


def test_connections_leave_no_cycles_behind(tmp_path: Path) -> None:
    # uvloop, as in production: the transports of asyncio's own loop do refer to themselves.
    found = uvloop.run(left_behind(tmp_path))
    kinds = Counter(f"{type(item).__module__}.{type(item).__qualname__}" for item in found)
    assert len(found) < CLIENTS, kinds.most_common(10)
