"""keepalive: each member once per interval, at its own moment."""

import asyncio

from derp.keepalive import KeepAliveWheel
from derp.tasks import TaskSet


class Member:
    def __init__(self) -> None:
        self.beats = 0
        self.first, self.third = asyncio.Event(), asyncio.Event()

    def beat(self) -> None:
        self.beats += 1
        self.first.set()
        if self.beats == 3:
            self.third.set()


async def test_members_beat_once_per_turn_until_removed() -> None:
    tasks = TaskSet()
    # 60 slots of 0.5 ms: a turn takes at least 30 ms, and more on a busy machine, but the same for all.
    wheel = KeepAliveWheel(0.03)
    stays, leaves = Member(), Member()
    wheel.add(stays)
    wheel.add(leaves)
    wheel.remove(leaves)
    wheel.remove(leaves)
    assert len(wheel) == 1
    tasks.spawn("wheel", wheel.run())
    await asyncio.wait_for(stays.third.wait(), 5)
    await tasks.close()
    assert leaves.beats == 0


async def test_newcomers_are_spread() -> None:
    wheel = KeepAliveWheel(0.03)
    members = [Member() for _ in range(200)]
    for member in members:
        wheel.add(member)
    tasks = TaskSet()
    tasks.spawn("wheel", wheel.run())
    # A first slot has been served, the others wait for theirs.
    waiting = [asyncio.ensure_future(member.first.wait()) for member in members]
    done, pending = await asyncio.wait(waiting, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    assert done
    for task in pending:
        task.cancel()
    assert sum(member.beats for member in members) < 100
    await tasks.close()
