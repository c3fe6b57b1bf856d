"""Whatever people do at several instances, in whatever order these hear of it: they end up the same.

Random commands at random instances of one store. After every point of rest all directories are equal to each
other and to what a server finds that starts now, all readers see the same, and what clients were told at any
instance adds up to what a fresh full map says there, which is the same at all of them.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import text

from coordinator.services import writer as services_writer
from coordinator.services.audit import AuditService
from coordinator.store.store import Store
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.state import ID_COUNTERS, ChangeSet, TailnetState
from tests.support.builders import FakeClock
from tests.support.instances import RandomInstance, Secrets, contents, require_unique
from tests.support.postgres import Cluster, running_cluster
from tests.support.tailnets import MemoryStore

COUNT, STEPS, REST = 3, 300, 15
SECONDS = 4


async def rest(instances: Sequence[RandomInstance]) -> None:
    """Everybody hears of everything."""
    for each in instances:
        await each.settle()
    # Hearing may have led to commands.
    for each in instances:
        await each.settle()
        each.tell()


async def require_equal(instances: Sequence[RandomInstance], state: TailnetState) -> None:
    """All the same, and the same as one that starts now."""
    first = instances[0]
    late = RandomInstance(first.store, state, first.clock, first.given, 0)
    late.tailnet.start()
    await late.settle()
    fresh = Directory(state)
    require_unique(fresh)
    maps = late.maps()
    for each in instances:
        assert contents(each.tailnet._writer._directory) == contents(fresh)
        assert each.published() == late.published()
        assert each.maps() == maps
        assert each.told() == {node_id: maps[node_id] for node_id in each.told()}
    await late.close()


async def trouble(store: MemoryStore, chance: random.Random, instances: Sequence[RandomInstance]) -> None:
    """The database is away, or an answer gets lost; others go on, then the one concerned hears of it."""
    one, another = chance.sample(instances, 2)
    if chance.random() < 0.5:
        store.broken = True
        doing = asyncio.create_task(one.step())
        await asyncio.sleep(0.003)
        store.broken = False
        await doing
    else:
        store.doubt = chance.choice(["landed", "lost"])
        await one.step()
        store.doubt = ""
    for _ in range(chance.randrange(4)):
        await another.step()
    if chance.random() < 0.5:
        await one.tailnet.catch_up()


def require_growing_counters(commits: Sequence[ChangeSet]) -> None:
    """Ids are never given twice."""
    last: dict[str, int] = {}
    for changes in commits:
        for name, value in changes.counters.items():
            assert name not in ID_COUNTERS or value > last.get(name, 0), f"{name} goes back"
            last[name] = value


@pytest.mark.parametrize("seed", range(6))
async def test_instances_end_up_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services_writer, "DOUBT_INTERVAL", 0.001)
    print(f"seed {seed}")
    chance, clock, given, store = random.Random(seed), FakeClock(), Secrets(), MemoryStore()
    instances = [RandomInstance(store, store.load(), clock, given, 100 * seed + n) for n in range(COUNT)]
    for each in instances:
        each.tailnet.start()
    for number in range(STEPS):
        busy = chance.sample(instances, chance.choice([1, 1, 2, 3]))
        await asyncio.gather(*(each.step() for each in busy))
        if chance.random() < 0.1:
            await trouble(store, chance, instances)
        if chance.random() < 0.3:
            await chance.choice(instances).tailnet.catch_up()
        if chance.random() < 0.3:
            chance.choice(instances).tell()
        clock.forward(seconds=chance.randrange(60))
        if number % REST == REST - 1:
            try:
                await rest(instances)
                await require_equal(instances, store.load())
                require_growing_counters(store.commits)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, step {number}: {error}") from error
    assert sum(each.done for each in instances) > STEPS / 2
    for each in instances:
        await each.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


@pytest.mark.postgres
async def test_instances_end_up_the_same_on_postgres(cluster: Cluster) -> None:
    name, seed = f"t{uuid.uuid4().hex}", time.time_ns() % 100_000
    print(f"seed {seed}")
    cluster.create_database(name)
    stores = [await Store.open(cluster.url(name)) for _ in range(COUNT)]
    clock, given = FakeClock(), Secrets()
    instances = [
        RandomInstance(store, await store.load(), clock, given, seed + n) for n, store in enumerate(stores)
    ]
    for each in instances:
        each.tailnet.start()
    ends = time.monotonic() + SECONDS

    async def work(instance: RandomInstance) -> None:
        while time.monotonic() < ends:
            await asyncio.gather(*(instance.step() for _ in range(instance.random.randrange(1, 4))))
            if instance.random.random() < 0.3:
                instance.tailnet.nudge()
            instance.tell()
            clock.forward(seconds=1)

    await asyncio.gather(*(work(each) for each in instances))
    await rest(instances)
    await require_equal(instances, await stores[0].load())
    async with stores[0]._begin(stores[0]._reading) as connection:
        seqs = list(await connection.scalars(text("SELECT seq FROM changes ORDER BY seq")))
    assert seqs == list(range(1, len(seqs) + 1))
    print(f"{len(seqs)} commits, {[each.done for each in instances]} done")
    assert len(seqs) > 50
    assert (await AuditService(stores[0].audit).verify()).findings == ()
    for each in instances:
        await each.close()
    for store in stores:
        await store.close()
    cluster.drop_database(name)
