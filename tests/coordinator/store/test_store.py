"""Load, commit, volatile facts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv4Address

import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from coordinator.store.engine import make_engine, sqlite_url
from coordinator.store.store import Store
from coordinator.tailnet.declared_profiles import DeclaredProfile
from coordinator.tailnet.errors import ConflictError, InDoubtError, InvalidError, UnavailableError
from coordinator.tailnet.identities import LinkedIdentity
from coordinator.tailnet.nodes import NodeID
from coordinator.tailnet.state import ChangeSet, StoredPolicy
from coordinator.tailnet.users import UserID
from tests.support.builders import NOW, make_key, make_node, make_user, node_key
from tests.support.postgres import Cluster


def by_id(*values):  # type: ignore[no-untyped-def]
    return {value.id: value for value in values}


@pytest.mark.parametrize("stored", [True, False])
async def test_a_lost_answer_is_found_out(
    store: Store, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    begin = store._begin

    @asynccontextmanager
    async def lossy(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        async with begin(engine) as connection:
            yield connection
            if not stored:
                raise UnavailableError("the connection broke")
        raise UnavailableError("the connection broke")

    monkeypatch.setattr(store, "_begin", lossy)
    with pytest.raises(InDoubtError) as caught:
        await store.commit(ChangeSet(put_users=by_id(make_user(1))))
    monkeypatch.setattr(store, "_begin", begin)
    assert await store.landed(caught.value.mark) is stored
    assert set((await store.load()).users) == ({1} if stored else set())
    assert await store.landed("00") is False


async def test_a_refusal_leaves_no_doubt(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*args: object) -> int:
        raise UnavailableError("the connection broke")

    monkeypatch.setattr(store, "_write", away)
    with pytest.raises(UnavailableError) as caught:
        await store.commit(ChangeSet(put_users=by_id(make_user(1))))
    assert not isinstance(caught.value, InDoubtError)


async def test_what_was_committed_is_loaded_again(store: Store) -> None:
    user = make_user(
        email="a@example.com",
        provider="oidc",
        provider_identifier="https://i/s",
        role="admin",
        offboarded_at=NOW,
        groups=("group:a", "group:b"),
    )
    identity = LinkedIdentity(
        id="https://i/s",
        user_id=user.id,
        provider="p",
        groups=("group:a",),
        refresh_token="sealed",
        refreshed_at=NOW,
        linked_at=NOW,
    )
    key, _ = make_key(tags=("tag:a", "tag:b"), expiration=None)
    node = make_node(
        1,
        expiry=NOW + timedelta(days=1),
        endpoints=("192.0.2.1:41641",),
        approved_routes=("10.0.0.0/8",),
        hostinfo={"Hostname": "näme", "NetInfo": {"PreferredDERP": 900}},
        home_derp=900,
        last_seen=NOW,
        network_lock_key="nlpub:" + "0" * 64,
    )
    policy = StoredPolicy(id=1, text="{}", created_at=NOW, author="a", note="b")
    profile = DeclaredProfile(name="db", body='{"src":["ä"]}', declared_by="socket:local", since=NOW)
    seq = await store.commit(
        ChangeSet(
            put_users=by_id(user),
            put_preauth_keys=by_id(key),
            put_nodes=by_id(node),
            put_policies=[policy],
            put_identities=by_id(identity),
            put_declared={"db": profile, "gone": replace(profile, name="gone")},
            counters={"nodes": 1, "ipv6_offset": 1 << 79},
        )
    )
    state = await store.load()
    assert seq == 1
    assert state.users == by_id(user)
    assert state.preauth_keys == by_id(key)
    assert state.identities == by_id(identity)
    assert state.nodes == by_id(node)
    assert state.nodes[node.id].hostinfo == node.hostinfo
    assert state.policy == policy
    assert state.declared == {"db": profile, "gone": replace(profile, name="gone")}
    changed = replace(profile, body="{}", since=NOW + timedelta(days=1))
    await store.commit(ChangeSet(put_declared={"db": changed}, delete_declared={"gone"}))
    assert (await store.load()).declared == {"db": changed}
    assert state.counters == {"nodes": 1, "ipv6_offset": 1 << 79}


async def test_the_sequence_has_no_gaps_even_after_a_failure(store: Store) -> None:
    await store.commit(ChangeSet(put_users=by_id(make_user(1))))
    with pytest.raises(ConflictError):
        await store.commit(ChangeSet(put_users=by_id(make_user(2, name="user1"))))
    assert await store.commit(ChangeSet(put_users=by_id(make_user(3)))) == 2
    assert set((await store.load()).users) == {1, 3}


async def test_a_failed_batch_leaves_nothing(store: Store) -> None:
    await store.commit(ChangeSet(put_users=by_id(make_user(1)), put_nodes=by_id(make_node(1))))
    with pytest.raises(ConflictError):
        await store.commit(
            ChangeSet(
                put_users=by_id(make_user(2)),
                put_nodes=by_id(make_node(2, ipv4=IPv4Address("100.64.0.1"))),
                counters={"nodes": 9},
            )
        )
    state = await store.load()
    assert set(state.users) == {1}
    assert set(state.nodes) == {1}
    assert state.counters == {}


async def test_nodes_may_exchange_unique_values_in_one_batch(store: Store) -> None:
    one, two = make_node(1), make_node(2)
    await store.commit(ChangeSet(put_users=by_id(make_user(1)), put_nodes=by_id(one, two)))
    swapped = by_id(replace(one, given_name="node2"), replace(two, given_name="node1"))
    await store.commit(ChangeSet(put_nodes=swapped))
    assert (await store.load()).nodes == swapped


async def test_a_replaced_node_may_take_the_place_of_a_deleted_one(store: Store) -> None:
    await store.commit(ChangeSet(put_users=by_id(make_user(1)), put_nodes=by_id(make_node(1))))
    heir = make_node(2, given_name="node1", ipv4=IPv4Address("100.64.0.1"), node_key=node_key(1))
    await store.commit(ChangeSet(delete_nodes={NodeID(1)}, put_nodes=by_id(heir)))
    assert (await store.load()).nodes == by_id(heir)


async def test_a_user_with_rows_pointing_at_it_can_be_changed(store: Store) -> None:
    await store.commit(
        ChangeSet(
            put_users=by_id(make_user(1)),
            put_nodes=by_id(make_node(1)),
            put_preauth_keys=by_id(make_key()[0]),
        )
    )
    renamed = make_user(1, name="other")
    used = replace(make_key()[0], used=True)
    await store.commit(ChangeSet(put_users=by_id(renamed), put_preauth_keys=by_id(used)))
    state = await store.load()
    assert state.users == by_id(renamed)
    assert state.preauth_keys == by_id(used)


async def test_a_user_who_owns_a_node_is_not_deleted(store: Store) -> None:
    await store.commit(ChangeSet(put_users=by_id(make_user(1)), put_nodes=by_id(make_node(1))))
    with pytest.raises(ConflictError):
        await store.commit(ChangeSet(delete_users={UserID(1)}))


async def test_a_user_name_may_move_on_within_one_batch(store: Store) -> None:
    one, two = make_user(1, name="ann"), make_user(2, name="bob", provider_identifier="https://i/2")
    await store.commit(ChangeSet(put_users=by_id(one, two), put_nodes=by_id(make_node(1))))
    # A name taken over from a renamed user, an identity from another, and a deleted user's name given anew.
    renamed = by_id(replace(one, name="bob"), make_user(3, name="ann"))
    await store.commit(ChangeSet(put_users=renamed))
    moved = by_id(
        replace(two, provider_identifier=None, name="carl"),
        make_user(4, name="dora", provider_identifier="https://i/2"),
    )
    await store.commit(ChangeSet(put_users=moved))
    await store.commit(ChangeSet(delete_users={UserID(3)}, put_users=by_id(make_user(5, name="ann"))))
    users = (await store.load()).users
    assert {user.id: user.name for user in users.values()} == {1: "bob", 2: "carl", 4: "dora", 5: "ann"}
    assert users[UserID(4)].provider_identifier == "https://i/2"


async def test_users_may_exchange_names(store: Store) -> None:
    await store.commit(ChangeSet(put_users=by_id(make_user(1, name="ann"), make_user(2, name="bob"))))
    swapped = by_id(make_user(1, name="bob"), make_user(2, name="ann"))
    await store.commit(ChangeSet(put_users=swapped))
    assert (await store.load()).users == swapped


async def test_a_user_not_deleted_keeps_the_name(store: Store) -> None:
    before = by_id(make_user(1))
    await store.commit(ChangeSet(put_users=before, put_nodes=by_id(make_node(1))))
    with pytest.raises(ConflictError):
        await store.commit(ChangeSet(delete_users={UserID(1)}))
    assert (await store.load()).users == before


async def test_user_names_are_unique_among_local_users_only(store: Store) -> None:
    local = make_user(1, name="alice")
    provided = make_user(2, name="alice", provider_identifier="https://i/1")
    other = make_user(3, name="alice", provider_identifier="https://i/2")
    await store.commit(ChangeSet(put_users=by_id(local, provided, other)))
    with pytest.raises(ConflictError):
        await store.commit(ChangeSet(put_users=by_id(make_user(4, provider_identifier="https://i/2"))))


async def test_volatile_facts_touch_nothing_else(store: Store) -> None:
    node = make_node(1)
    await store.commit(ChangeSet(put_users=by_id(make_user(1)), put_nodes=by_id(node)))
    moved = replace(node, endpoints=("192.0.2.9:1",), home_derp=7, last_seen=NOW, given_name="ignored")
    await store.save_volatile([moved, make_node(99)])
    assert (await store.load()).nodes == by_id(replace(moved, given_name="node1"))


async def test_times_keep_their_moment_and_are_utc(store: Store) -> None:
    moment = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5)))
    await store.commit(ChangeSet(put_users=by_id(make_user(1, created_at=moment))))
    loaded = (await store.load()).users[UserID(1)].created_at
    assert loaded == moment
    assert loaded.tzinfo == UTC


async def test_histories_are_newest_first(store: Store) -> None:
    policies = [StoredPolicy(id=number, text=str(number), created_at=NOW) for number in (1, 2)]
    await store.commit(ChangeSet(put_policies=policies))
    assert await store.policies(1) == [policies[1]]
    assert (await store.load()).policy == policies[1]


async def test_an_unreachable_database_says_so(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnavailableError, match="does not answer"):
        await Store.open(sqlite_url(tmp_path / "missing" / "db.sqlite"))


async def test_a_sign_of_life(store: Store) -> None:
    await store.ping()


async def test_a_commit_survives_sigkill(url: URL) -> None:
    """Kill -9 right after commit() returned: what a client may have been told is there."""
    program = textwrap.dedent(
        """
        import asyncio, os, signal, sys
        from sqlalchemy import make_url
        from coordinator.store.store import Store
        from coordinator.tailnet.state import ChangeSet
        from tests.support.builders import make_user

        async def main():
            store = await Store.open(make_url(sys.argv[1]))
            user = make_user(1)
            await store.commit(ChangeSet(put_users={user.id: user}))
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
        """
    )
    target = url.render_as_string(hide_password=False)
    done = subprocess.run(
        [sys.executable, "-c", program, target], env={**os.environ, "PYTHONPATH": "."}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    store = await Store.open(url)
    try:
        assert set((await store.load()).users) == {1}
    finally:
        await store.close()


async def test_what_clients_say_of_themselves_never_stops_a_batch(store: Store) -> None:
    odd = make_node(
        1, home_derp=1 << 63, cap_version=1 << 80, hostname="a\0b\ud800", hostinfo={"a": "\0\ud800"}
    )
    fellow = make_node(2, home_derp=900)
    await store.commit(ChangeSet(put_users=by_id(make_user(1)), put_nodes=by_id(odd, fellow)))
    await store.save_volatile([odd, replace(fellow, home_derp=901)])
    nodes = (await store.load()).nodes
    assert nodes[NodeID(2)].home_derp == 901
    assert nodes[NodeID(1)] == replace(odd, home_derp=0, cap_version=0, hostname="a\ufffdb\ufffd")


async def test_a_time_in_the_first_century_does_not_keep_the_server_from_starting(store: Store) -> None:
    key = make_key(expiration=datetime(1, 1, 1, tzinfo=UTC))[0]
    await store.commit(ChangeSet(put_users=by_id(make_user(1)), put_preauth_keys=by_id(key)))
    assert (await store.load()).preauth_keys == by_id(key)


@pytest.mark.parametrize(
    "changes",
    [
        ChangeSet(put_policies=[StoredPolicy(id=1, text="\ud800", created_at=NOW)]),
        ChangeSet(put_policies=[StoredPolicy(id=1 << 70, text="", created_at=NOW)]),
        ChangeSet(put_policies=[StoredPolicy(id=1, text="", created_at=datetime(2026, 1, 1))]),
    ],
    ids=["surrogate", "number", "no zone"],
)
async def test_a_value_without_a_place_is_an_error_of_ours(store: Store, changes: ChangeSet) -> None:
    with pytest.raises(InvalidError, match="cannot hold"):
        await store.commit(changes)
    assert await store.commit(ChangeSet(put_users=by_id(make_user(1)))) == 1


async def test_more_rows_than_a_statement_may_have_parameters(store: Store) -> None:
    users = {UserID(number): make_user(number) for number in range(1, 33_001)}
    await store.commit(ChangeSet(put_users=users))
    assert len((await store.load()).users) == len(users)


async def test_messages_hold_no_sql_and_no_values(store: Store, url: URL) -> None:
    key = make_key()[0]
    engine = make_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE preauth_keys"))
    await engine.dispose()
    with pytest.raises(UnavailableError) as caught:
        await store.commit(ChangeSet(put_users=by_id(make_user(1)), put_preauth_keys=by_id(key)))
    assert "preauth_keys" in caught.value.message
    assert not any(word in caught.value.message for word in ("INSERT", "SELECT", "[SQL", "sqlalche"))
    assert key.prefix not in caught.value.message
    # The log shows the causes as well.
    assert key.prefix not in repr(caught.value.__cause__)


async def test_two_instances_share_one_sequence(url: URL) -> None:
    stores = [await Store.open(url) for _ in range(2)]

    async def commits(store: Store, name: str) -> list[int]:
        return [await store.commit(ChangeSet(counters={name: number})) for number in range(20)]

    try:
        seqs = await asyncio.gather(*(commits(store, f"c{n}") for n, store in enumerate(stores)))
    finally:
        for store in stores:
            await store.close()
    assert sorted(seq for each in seqs for seq in each) == list(range(1, 41))
    assert all(each == sorted(each) for each in seqs)


async def test_load_sees_one_moment(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = await Store.open(url), await Store.open(url)
    execute = AsyncConnection.execute

    async def interrupted(self, statement, *values):  # type: ignore[no-untyped-def]
        result = await execute(self, statement, *values)
        if "FROM users" in str(statement):
            monkeypatch.setattr(AsyncConnection, "execute", execute)
            user = make_user(1)
            await writer.commit(ChangeSet(put_users=by_id(user), put_nodes=by_id(make_node(1))))
        return result

    monkeypatch.setattr(AsyncConnection, "execute", interrupted)
    try:
        state = await reader.load()
        assert (dict(state.users), dict(state.nodes)) == ({}, {})
        assert set((await reader.load()).nodes) == {1}
    finally:
        await reader.close()
        await writer.close()


@pytest.mark.postgres
async def test_a_commit_is_announced_with_its_number(cluster: Cluster) -> None:
    name = f"t{uuid.uuid4().hex}"
    cluster.create_database(name)
    store = await Store.open(cluster.url(name))
    store.instance = "one"
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = make_engine(cluster.url(name))
    try:
        async with listener.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            await driver.add_listener("coordinator_changes", lambda *said: heard.put_nowait(said[3]))
            seq = await store.commit(ChangeSet(counters={"nodes": 1}))
            assert await asyncio.wait_for(heard.get(), 10) == f"{seq} one"
    finally:
        await listener.dispose()
        await store.close()
        cluster.drop_database(name)


@pytest.mark.postgres
async def test_postgresql_that_refuses_or_hangs_up_is_unavailable(cluster: Cluster) -> None:
    with pytest.raises(UnavailableError, match="does not answer"):
        await Store.open(cluster.url("missing"))
    with pytest.raises(UnavailableError, match="does not answer"):
        await Store.open(cluster.url("missing").set(port=1))
    name = f"t{uuid.uuid4().hex}"
    cluster.create_database(name)
    store = await Store.open(cluster.url(name))
    try:
        await store.ping()
        cluster.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        await store.ping()  # a dead connection in the pool is replaced, not handed out
        cluster.drop_database(name)
        with pytest.raises(UnavailableError, match="does not answer"):
            await store.commit(ChangeSet(counters={"nodes": 1}))
    finally:
        await store.close()


async def test_identities_come_and_go_with_their_users(store: Store) -> None:
    one, two = make_user(1, name="a"), make_user(2, name="b")
    identity = LinkedIdentity(id="https://i/1", user_id=one.id, linked_at=NOW)
    await store.commit(ChangeSet(put_users=by_id(one, two), put_identities=by_id(identity)))
    moved = replace(identity, user_id=two.id, refresh_token="x")
    await store.commit(ChangeSet(put_identities=by_id(moved), delete_users={one.id}))
    assert (await store.load()).identities == by_id(moved)
    await store.commit(ChangeSet(delete_identities={identity.id}, delete_users={two.id}))
    assert (await store.load()).identities == {}
