"""The watch itself; what it does at each look is tested in test_access."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.services import access_windows
from coordinator.tailnet.errors import UnavailableError
from tests.coordinator.services.test_access import LAPTOP, SERVER, make_bench


async def test_a_window_closes_in_time_while_the_database_is_away() -> None:
    bench = await make_bench()
    request = await bench.approve(await bench.ask())
    bench.clock.forward(minutes=91)
    bench.store.broken = True
    with pytest.raises(UnavailableError):
        await bench.access.windows.tick()
    assert not bench.sees(LAPTOP, SERVER)
    bench.store.broken = False
    await bench.access.windows.tick()
    assert bench.access.get(request.id).end_reason == "expired"
    await bench.tailnet.close()


async def test_the_watch_survives_what_nobody_foresaw(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = await make_bench()
    await bench.approve(await bench.ask())
    refresh, failures = bench.access.windows.refresh, [RuntimeError("surprise"), UnavailableError("away")]

    def fail_twice() -> None:
        if failures:
            raise failures.pop()
        refresh()

    monkeypatch.setattr(bench.access.windows, "refresh", fail_twice)
    bench.clock.forward(minutes=91)
    bench.access.windows.start()
    async with asyncio.timeout(3):
        while bench.sees(LAPTOP, SERVER):
            await asyncio.sleep(0.02)
    await bench.access.windows.close()
    await bench.tailnet.close()


async def test_the_watch_looks_when_a_window_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_windows, "INTERVAL", 60.0)
    bench = await make_bench()
    await bench.approve(await bench.ask())
    bench.clock.forward(minutes=90, milliseconds=-100)
    bench.access.windows.start()
    await asyncio.sleep(0.03)
    assert bench.sees(LAPTOP, SERVER)
    bench.clock.forward(milliseconds=100)
    async with asyncio.timeout(2):
        while bench.sees(LAPTOP, SERVER):
            await asyncio.sleep(0.02)
    await bench.access.windows.close()
    await bench.tailnet.close()


async def test_a_window_closes_while_nobody_asks() -> None:
    bench = await make_bench()
    bench.access.windows.start()
    await bench.approve(await bench.ask())
    assert bench.sees(LAPTOP, SERVER)
    bench.clock.forward(minutes=91)
    async with asyncio.timeout(2):
        while bench.sees(LAPTOP, SERVER):
            await asyncio.sleep(0.02)
    await bench.access.windows.close()
    await bench.tailnet.close()
