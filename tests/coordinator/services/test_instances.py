"""Who is there, who is on duty, and what all must agree on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.services import instances as services_instances
from coordinator.services.instances import Instances
from coordinator.tailnet.errors import InvalidError, UnavailableError
from coordinator.tailnet.instances import Instance
from tests.support.boards import MemoryBoard
from tests.support.builders import NOW

URL = "https://hs.example.com"


def make_instance(number: int, **changes: object) -> Instance:
    values = {"id": f"i{number}", "server_url": URL, "noise_key": "mkey:1", "started_at": NOW}
    return Instance(**values | {"started_at": NOW + timedelta(minutes=number)} | changes)  # type: ignore[arg-type]


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> MemoryBoard:
    monkeypatch.setattr(services_instances, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(services_instances, "LOST_SECONDS", 0.1)
    return MemoryBoard()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not true():
            await asyncio.sleep(0.002)


async def begin(board: MemoryBoard, stack: AsyncExitStack, me: Instance) -> Instances:
    instances = Instances(board, me)
    await instances.start()
    stack.push_async_callback(instances.close)
    return instances


async def test_the_longest_at_work_is_on_duty(board: MemoryBoard, stack: AsyncExitStack) -> None:
    younger = await begin(board, stack, make_instance(2))
    assert younger.on_duty()
    older = await begin(board, stack, make_instance(1))
    assert older.on_duty()
    await until(lambda: not younger.on_duty())
    await older.close()
    await until(younger.on_duty)


async def test_listeners_hear_who_came_before_and_after(board: MemoryBoard, stack: AsyncExitStack) -> None:
    second = Instances(board, make_instance(2))
    heard: list[tuple[list[str], list[str]]] = []
    second.on_change(lambda older, younger: heard.append(([e.id for e in older], [e.id for e in younger])))
    await second.start()
    stack.push_async_callback(second.close)
    first = await begin(board, stack, make_instance(1))
    await until(lambda: len(heard) == 2)
    await begin(board, stack, make_instance(3))
    await until(lambda: len(heard) == 3)
    await first.close()
    await until(lambda: len(heard) == 4)
    assert heard == [([], []), (["i1"], []), (["i1"], ["i3"]), ([], ["i3"])]


async def test_one_without_a_sign_of_life_is_taken_off(board: MemoryBoard, stack: AsyncExitStack) -> None:
    await board.join(make_instance(1))
    instances = await begin(board, stack, make_instance(2))
    assert not instances.on_duty()
    await until(instances.on_duty)
    assert set(board.there) == {"i2"}


async def test_one_that_was_taken_off_by_mistake_comes_back(
    board: MemoryBoard, stack: AsyncExitStack
) -> None:
    instances = await begin(board, stack, make_instance(1))
    await board.leave("i1")
    await until(lambda: "i1" in board.there)
    assert instances.on_duty()


async def test_it_gives_signs_of_life_however_often_it_is_nudged(
    board: MemoryBoard, stack: AsyncExitStack
) -> None:
    instances = await begin(board, stack, make_instance(1))
    async with asyncio.timeout(2):
        while board.there["i1"].beats < 3:
            instances.nudge()
            await asyncio.sleep(0.001)


async def test_a_database_that_is_away_changes_nothing(board: MemoryBoard, stack: AsyncExitStack) -> None:
    first = await begin(board, stack, make_instance(1))
    second = await begin(board, stack, make_instance(2))
    await until(lambda: not second.on_duty())
    board.broken = True
    await asyncio.sleep(0.3)
    assert (first.on_duty(), second.on_duty()) == (True, False)
    with pytest.raises(UnavailableError):
        await Instances(board, make_instance(3)).start()
    board.broken = False
    beats = board.there["i1"].beats
    await until(lambda: board.there["i1"].beats > beats)
    assert set(board.there) == {"i1", "i2"}


async def test_who_ends_while_the_database_is_away_does_so(board: MemoryBoard) -> None:
    instances = Instances(board, make_instance(1))
    await instances.start()
    board.broken = True
    await instances.close()


async def test_another_noise_key_behind_the_same_address_is_refused(
    board: MemoryBoard, stack: AsyncExitStack
) -> None:
    await begin(board, stack, make_instance(1))
    with pytest.raises(InvalidError, match="give all instances the same file"):
        await Instances(board, make_instance(2, noise_key="mkey:2")).start()
    assert set(board.there) == {"i1"}
    await begin(board, stack, make_instance(3, noise_key="mkey:2", server_url="https://other.example.com"))


async def test_what_a_crash_left_behind_refuses_nobody(board: MemoryBoard, stack: AsyncExitStack) -> None:
    await board.join(make_instance(1, noise_key="mkey:old"))
    instances = await begin(board, stack, make_instance(2))
    await until(instances.on_duty)


async def test_one_that_starts_meanwhile_counts(board: MemoryBoard) -> None:
    await board.join(make_instance(1, noise_key="mkey:old"))
    starting = asyncio.create_task(Instances(board, make_instance(2)).start())
    await asyncio.sleep(0.03)
    await board.join(replace(make_instance(3), noise_key="mkey:old"))
    with pytest.raises(InvalidError):
        await starting
