"""Notifications of PostgreSQL, also after its connections broke."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import asyncpg
import pytest
from sqlalchemy import URL

from coordinator.store import listener as store_listener
from coordinator.store.listener import Listener
from coordinator.store.store import CHANNEL, Store
from coordinator.tailnet.state import ChangeSet
from coordinator.telemetry.tasks import running
from tests.support.postgres import Cluster

pytestmark = pytest.mark.postgres


@dataclass
class Heard:
    payloads: list[str] = field(default_factory=list)
    again: int = 0
    looks: int = 0

    def came(self) -> None:
        self.again += 1

    def looked(self) -> None:
        self.looks += 1


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


@pytest.fixture
async def heard(shared_url: URL, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Heard]:
    monkeypatch.setattr(store_listener, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(store_listener, "WATCH_SECONDS", 0.05)
    found = Heard()
    listener = Listener(shared_url, {CHANNEL: found.payloads.append}, again=found.came, look=found.looked)
    listener.start()
    await until(lambda: found.again == 1)
    yield found
    await listener.close()
    assert "instance notifications" not in running()


async def test_each_commit_is_heard_with_who_made_it(heard: Heard, stores: list[Store]) -> None:
    for store in stores:
        await store.commit(ChangeSet(counters={"users": 1}))
    await until(lambda: len(heard.payloads) == 2)
    assert heard.payloads == ["1 a", "2 b"]
    assert heard.again == 1


async def test_it_looks_now_and_then_all_the_same(heard: Heard) -> None:
    await until(lambda: heard.looks > 2)


async def test_a_connection_that_breaks_is_made_again(
    heard: Heard, stores: list[Store], shared_url: URL, cluster: Cluster
) -> None:
    cluster.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{shared_url.database}' AND query NOT LIKE '%terminate%'"
    )
    await until(lambda: heard.again == 2)
    await stores[0].commit(ChangeSet(counters={"users": 1}))
    await until(lambda: heard.payloads == ["1 a"])


@pytest.mark.parametrize(
    "error", [asyncpg.AdminShutdownError("ends"), asyncpg.InterfaceError("is closed"), OSError("reset")]
)
async def test_a_connection_that_breaks_while_it_is_made_is_made_again(
    heard: Heard, shared_url: URL, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The driver's own errors, which no library in between has translated."""
    add_listener, failed = asyncpg.Connection.add_listener, asyncio.Event()

    async def failing(*args: object) -> None:
        if not failed.is_set():
            failed.set()
            raise error
        await add_listener(*args)

    monkeypatch.setattr(asyncpg.Connection, "add_listener", failing)
    cluster.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{shared_url.database}' AND query NOT LIKE '%terminate%'"
    )
    await until(failed.is_set)
    await until(lambda: heard.again == 2)
