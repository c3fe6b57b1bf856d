"""One serving instance for each PostgreSQL database."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.store import instance_lock as module
from coordinator.store.instance_lock import instance_lock
from coordinator.tailnet.errors import UnavailableError
from tests.support.postgres import Cluster

pytestmark = pytest.mark.postgres
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'locked'"


def never() -> None:
    raise AssertionError("nobody takes over here")


@pytest.fixture
def database(cluster: Cluster) -> str:
    cluster.drop_database("locked")
    cluster.create_database("locked")
    return "locked"


async def test_the_second_waits_for_the_first(cluster: Cluster, database: str) -> None:
    order: list[str] = []

    async def second() -> None:
        async with instance_lock(cluster.url(database), never):
            order.append("second")

    async with instance_lock(cluster.url(database), never):
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.5)
        order.append("first")
    await asyncio.wait_for(waiting, 5)
    assert order == ["first", "second"]


async def test_a_lock_that_was_lost_is_taken_again(
    cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.05)
    async with instance_lock(cluster.url(database), never):
        await asyncio.to_thread(cluster.run, CUT)
        await asyncio.sleep(1)

        async def second() -> None:
            async with instance_lock(cluster.url(database), never):
                pass

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(second(), 0.7)


async def test_whoever_is_faster_has_it(
    cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.5)
    told = asyncio.Event()
    async with instance_lock(cluster.url(database), told.set):
        await asyncio.to_thread(cluster.run, CUT)
        async with instance_lock(cluster.url(database), never):
            await asyncio.wait_for(told.wait(), 5)


async def test_no_database_is_said(cluster: Cluster) -> None:
    with pytest.raises(UnavailableError, match="does not answer"):
        async with instance_lock(cluster.url("nowhere"), never):
            pass
