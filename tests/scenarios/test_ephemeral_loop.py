"""Hundreds of ephemeral nodes join and vanish, by logout or by crash, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import sqlite3
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from coordinator.settings import checks
from coordinator.web.deadline import FirstRequestDeadline
from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running, running_server

WARM_UP = 100
NODES = 500
CRASHES = 10
"""One in so many does not log out."""
AT_ONCE = 10
LOGOUT = "1970-01-01T00:02:03Z"
SETTINGS = "node: {ephemeral: {inactivity_timeout: 1s, address_rest: 1s}}"
SPARE_OBJECTS = 750
"""The change log, which has a fixed size, keeps one object for each removal; two a node would be 800."""
SPARE_MIB = 8.0


def clients(url: str, key: str, first: int, count: int) -> None:
    """Join, poll, leave; in a process of its own, so that the server's memory is measured alone."""

    async def one(number: int) -> None:
        client = FakeTailscaled(url, hostname=f"ci{number}")
        await client.connect()
        answer = await client.register(key)
        assert answer["MachineAuthorized"], answer
        async with client.map_stream() as maps:
            await anext(maps)
        if number % CRASHES:
            await client.register(Expiry=LOGOUT)
        await client.close()

    async def run() -> None:
        for start in range(first, first + count, AT_ONCE):
            await asyncio.gather(*(one(start + offset) for offset in range(AT_ONCE)))

    asyncio.run(run())


async def crowd(server: Running, key: str, first: int, count: int) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=clients, args=(server.url, key, first, count)
    )
    process.start()
    while process.is_alive():
        await asyncio.sleep(0.05)
    assert process.exitcode == 0


async def nobody_left(server: Running) -> None:
    """The crashed ones stay online for the grace after their streams ended, and then for their timeout."""
    async with asyncio.timeout(15):
        while (await server.call("GET", "/api/v1/node"))["nodes"]:
            await asyncio.sleep(0.1)


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def live_objects() -> int:
    gc.collect()
    return len(gc.get_objects())


@pytest.fixture
def only_new_objects() -> Iterator[None]:
    """What other tests have left in this process does not count."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def test_nothing_stays_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only_new_objects: None
) -> None:
    # A timeout that short would remove healthy nodes elsewhere; here nobody is ever absent and comes back.
    monkeypatch.setattr(checks, "SHORTEST_ABSENCE", timedelta())
    # Each connection has such a timer; they are waited for, so that what is left belongs to nodes.
    monkeypatch.setattr(FirstRequestDeadline.__init__, "__defaults__", (1.0,))
    began = time.monotonic()
    async with running_server(tmp_path, more=SETTINGS) as server:
        services = server.server._services
        services.sessions._offline_grace = 2.0
        key = await server.auth_key(reusable=True, ephemeral=True)
        await crowd(server, key, 0, WARM_UP)
        await nobody_left(server)
        before, memory, tasks = live_objects(), resident_mib(), len(asyncio.all_tasks())

        await crowd(server, key, WARM_UP, NODES - WARM_UP)
        await nobody_left(server)
        await asyncio.sleep(1.5)
        after, memory_after, tasks_after = live_objects(), resident_mib(), len(asyncio.all_tasks())
        print(
            f"\n{NODES} ephemeral nodes in {time.monotonic() - began:.1f} s: objects {before} -> {after}, "
            f"resident {memory:.1f} -> {memory_after:.1f} MiB, tasks {tasks} -> {tasks_after}"
        )
        assert services.tailnet.snapshot.records == {}
        assert len(services.sessions) == 0
        assert services.sessions._leaving == {}
        assert tasks_after <= tasks
        assert after - before < SPARE_OBJECTS
        assert memory_after - memory < SPARE_MIB
        (shown,) = (await server.call("GET", "/api/v1/preauthkey"))["preAuthKeys"]  # type: ignore[misc]
        assert shown["uses"] == NODES
    rows = sqlite3.connect(tmp_path / "db.sqlite").execute("SELECT count(*) FROM nodes").fetchone()
    assert rows == (0,)
