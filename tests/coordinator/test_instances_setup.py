"""Servers on one PostgreSQL, whole but for their listeners."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from coordinator import assembly
from coordinator.assembly import ServerKeys, Services, open_store, start_services
from coordinator.services import instances as services_instances
from coordinator.services import presence as services_presence
from coordinator.settings.load import load_settings
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import InvalidError, UnavailableError
from coordinator.tailnet.nodes import NodeID
from coordinator.tailnet.state import ChangeSet
from tests.support.builders import make_node, make_user
from tests.support.postgres import USER, Cluster, running_cluster
from tests.support.tailnets import FakeStream

pytestmark = pytest.mark.postgres
ACTOR = Actor(kind="socket", name="test")
POLICY = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


@dataclass
class Site:
    """A database, and the servers on it."""

    cluster: Cluster
    folder: Path
    database: str = field(default_factory=lambda: f"t{uuid.uuid4().hex}")
    count: int = 0

    @asynccontextmanager
    async def server(
        self, *, url: str = "http://127.0.0.1:8080", region: int = 900, noise: str = "mkey:1"
    ) -> AsyncIterator[Services]:
        self.count += 1
        folder = self.folder / str(self.count)
        folder.mkdir()
        config = folder / "config.yaml"
        config.write_text(
            f"server_url: {url}\n"
            f"derp: {{server: {{enabled: true, region_id: {region}, region_name: r{self.count}}}}}\n"
            "dns: {base_domain: tail.lab, override_local_dns: false}\npolicy: {mode: database}\n"
            f"database: {{type: postgres, postgres: {{host: 127.0.0.1, port: {self.cluster.port}, "
            f"name: {self.database}, user: {USER}, pass: ''}}}}\n"
        )
        settings, _ = load_settings(config, {})
        async with AsyncExitStack() as stack:
            store = await open_store(settings.database, stack, bytes(32))
            keys = ServerKeys(noise=noise, relay_certificate=None)
            yield await start_services(settings, stack, store, keys)


@pytest.fixture
def site(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(services_instances, "LOST_SECONDS", 1.5)
    monkeypatch.setattr(services_instances, "BEAT_SECONDS", 0.3)
    monkeypatch.setattr(services_presence, "LOST_GRACE", 0.3)
    made = Site(cluster, tmp_path)
    cluster.create_database(made.database)
    yield made
    cluster.drop_database(made.database)


async def until(true: Callable[[], bool], within: float = 1.0) -> None:
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.005)


def regions(server: Services) -> dict[str, str]:
    derp_map = server.tailnet.world.config.derp_map
    return {number: region.region_name for number, region in derp_map.regions.items()}


async def add_node(server: Services) -> NodeID:
    def command(directory) -> NodeID:  # type: ignore[no-untyped-def]
        number = directory.next_id("nodes")
        directory.put_user(make_user(1))
        directory.put_node(make_node(number))
        return NodeID(number)

    return await server.tailnet.execute(command)


async def test_what_one_stores_is_told_to_the_other_at_once(site: Site) -> None:
    async with site.server() as one, site.server() as two:
        assert (one.company.on_duty(), two.company.on_duty()) == (True, False)
        await one.users.create("ada", actor=ACTOR)
        await until(lambda: [user.name for user in two.users.list()] == ["ada"])
        await two.policy.set(POLICY, actor=ACTOR)
        await until(lambda: one.policy.text == POLICY)
        key, text = await two.api_keys.create(user_id=None, expiration=None, actor=ACTOR)
        await one.company.catch_up()
        assert one.api_keys.authenticate(text) == key


async def test_nodes_are_where_their_stream_is(site: Site) -> None:
    async with site.server() as one, site.server() as two:
        node_id = await add_node(one)
        await two.company.catch_up()
        record = two.tailnet.snapshot.record(node_id)
        assert record is not None
        two.sessions.open(record, FakeStream(), pinning=True, keepalives=False)
        two.tailnet.update_volatile(node_id, home_derp=7)
        await until(lambda: one.tailnet.snapshot.nodes()[0].online)
        await until(lambda: one.tailnet.snapshot.nodes()[0].home_derp == 7)


async def test_relays_of_all_are_told_by_all(site: Site) -> None:
    async with site.server(region=900) as one:
        assert regions(one) == {"900": "r1"}
        async with site.server(region=901) as two:
            both = {"900": "r1", "901": "r2"}
            await until(lambda: regions(one) == regions(two) == both)
        await until(lambda: regions(one) == {"900": "r1"})


async def test_of_one_region_all_tell_the_same_relay(site: Site) -> None:
    async with AsyncExitStack() as first:
        one = await first.enter_async_context(site.server())
        async with site.server() as two:
            await until(lambda: regions(one) == regions(two) == {"900": "r1"})
            await first.aclose()
            await until(lambda: regions(two) == {"900": "r2"})
            assert two.company.on_duty()


async def test_what_an_instance_of_another_release_says_of_its_relay_is_left_out(site: Site) -> None:
    async with site.server() as one, site.server(region=901) as two:
        site.cluster.run("UPDATE instances SET relay = '[]'", site.database)
        async with site.server(region=902) as three:
            assert regions(three) == {"902": "r3"}
            await until(lambda: "902" in regions(one) and "902" in regions(two))


async def test_another_noise_key_behind_the_same_address_is_refused(site: Site) -> None:
    async with site.server() as one:
        with pytest.raises(InvalidError, match=r"noise\.private_key_path"):
            async with site.server(noise="mkey:2"):
                pass
        async with site.server(noise="mkey:2", url="http://127.0.0.2:8080"):
            assert one.company.on_duty()


async def test_nothing_is_missed_while_a_server_starts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its look at the database and its first commit others go on."""
    async with site.server() as one:
        made: list[str] = []
        company = assembly._company

        async def late(settings, stack, store, keys, followed):  # type: ignore[no-untyped-def]
            made.append((await one.api_keys.create(user_id=None, expiration=None, actor=ACTOR))[1])
            await followed.tailnet.catch_up()
            return await company(settings, stack, store, keys, followed)

        monkeypatch.setattr(assembly, "_company", late)
        async with site.server() as two:
            assert two.api_keys.authenticate(made[0]) is not None


async def test_a_database_that_is_away_ends_no_reading(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site.server() as one, site.server() as two:
        await one.users.create("ada", actor=ACTOR)
        await two.company.catch_up()

        async def away(*args: object) -> None:
            raise UnavailableError("the database is away")

        monkeypatch.setattr(two.store, "missed", away)
        monkeypatch.setattr(two.store.board, "waiting", away)
        await two.company.catch_up()
        assert [user.name for user in two.users.list()] == ["ada"]


async def test_broken_connections_are_made_again(site: Site) -> None:
    async with site.server() as one, site.server() as two:
        site.cluster.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{site.database}' AND pid <> pg_backend_pid()"
        )
        for _ in range(20):
            try:
                await one.tailnet.execute(lambda directory: directory.put_user(make_user(1)))
                break
            except UnavailableError:
                await asyncio.sleep(0.1)
        await until(lambda: len(two.users.list()) == 1, within=5)


async def test_who_lost_track_says_so(site: Site) -> None:
    async with site.server() as one, site.server() as two:
        told: list[int] = []
        two.tailnet.on_stranger(lambda: told.append(1))
        seq = await one.store.commit(ChangeSet(counters={"users": 7}))
        site.cluster.run(f"UPDATE changes SET touched = NULL WHERE seq = {seq}", site.database)
        two.tailnet.nudge()
        await until(lambda: bool(told))
