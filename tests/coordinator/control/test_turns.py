"""Turns."""

from __future__ import annotations

import asyncio

from coordinator.control.turns import Turns


async def test_one_step_a_round_in_order() -> None:
    turns, rounds = Turns(), [0]
    steps: list[tuple[int, int]] = []
    loop = asyncio.get_running_loop()

    def count() -> None:
        rounds[0] += 1
        if len(steps) < 20:
            loop.call_soon(count)

    async def client(number: int) -> None:
        await turns.take()
        steps.append((number, rounds[0]))

    count()
    await asyncio.gather(*(client(number) for number in range(20)))
    assert [number for number, _ in steps] == list(range(20))
    assert len({at for _, at in steps}) >= 19
    assert len(turns) == 0


async def test_it_is_free_when_nobody_waits() -> None:
    turns = Turns()
    for _ in range(3):
        task = asyncio.ensure_future(turns.take())
        await asyncio.sleep(0)
        assert task.done()
        await asyncio.sleep(0)


async def test_who_leaves_gives_its_turn_away() -> None:
    turns = Turns()
    await turns.take()
    gone, next_one = asyncio.ensure_future(turns.take()), asyncio.ensure_future(turns.take())
    await asyncio.sleep(0)
    gone.cancel()
    async with asyncio.timeout(1):
        await next_one
