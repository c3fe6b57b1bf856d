"""The watch itself; what it does at each look is tested in test_access."""

from __future__ import annotations

import asyncio

from tests.coordinator.services.test_access import LAPTOP, SERVER, make_bench


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
