"""What one instance commits, another reads from the change log."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from coordinator.store import following
from coordinator.store import store as store_module
from coordinator.store.following import touched
from coordinator.store.store import Store
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.api_keys import ApiKey
from coordinator.tailnet.declared_profiles import DeclaredProfile
from coordinator.tailnet.errors import ConflictError, InDoubtError, UnavailableError
from coordinator.tailnet.identities import LinkedIdentity
from coordinator.tailnet.state import ChangeSet, Missed, StoredPolicy
from tests.support.builders import NOW, make_key, make_node, make_user
from tests.support.wireguard_records import make_gateway, make_peer

pytestmark = pytest.mark.postgres


def everything() -> ChangeSet:
    """One thing of each kind."""
    user, node, (key, _) = make_user(1), make_node(1), make_key()
    api_key = ApiKey(id=1, prefix="p", hash=b"h", user_id=None, expiration=NOW, created_at=NOW)
    identity = LinkedIdentity(id="https://i/s", user_id=user.id, provider="p", linked_at=NOW)
    gateway, peer = make_gateway(), make_peer()
    request = AccessRequest(
        id=7,
        profile="p",
        user_id=user.id,
        node_id=node.id,
        duration=timedelta(hours=1),
        reason="r",
        ticket="",
        requested_at=NOW,
        answer_by=NOW,
    )
    return ChangeSet(
        put_users={user.id: user},
        put_nodes={node.id: node},
        put_preauth_keys={key.id: key},
        put_policies=[StoredPolicy(id=1, text="{}", created_at=NOW)],
        put_access={7: request},
        put_api_keys={1: api_key},
        put_identities={identity.id: identity},
        put_wireguard={gateway.key: gateway, peer.key: peer},
        put_declared={"p": DeclaredProfile(name="p", body="{}", declared_by="a", since=NOW)},
        counters={"nodes": 1, "ipv6_offset": 1 << 79},
    )


async def test_all_kinds_are_followed(stores: list[Store]) -> None:
    one, two = stores
    changes = everything()
    assert await one.commit(changes) == 1
    missed = await two.missed(0)
    assert missed == Missed(seq=1, changes=changes)
    assert await two.missed(1) is None


async def test_deletions_are_followed(stores: list[Store]) -> None:
    one, two = stores
    made = everything()
    await one.commit(made)
    gone = ChangeSet(
        delete_nodes=set(made.put_nodes),
        delete_preauth_keys=set(made.put_preauth_keys),
        delete_api_keys=set(made.put_api_keys),
        delete_identities=set(made.put_identities),
        delete_wireguard=set(made.put_wireguard),
        delete_declared=set(made.put_declared),
        delete_users=set(made.put_users),
    )
    await one.commit(gone)
    assert await two.missed(1) == Missed(seq=2, changes=replace(gone, counters=made.counters))


async def test_however_many_commits_were_missed_each_row_comes_once_as_it_is(stores: list[Store]) -> None:
    one, two = stores
    node, other = make_node(1), make_node(2)
    await one.commit(ChangeSet(put_users={1: make_user(1)}, put_nodes={node.id: node, other.id: other}))  # type: ignore[dict-item]
    exchanged = {
        1: replace(node, given_name=other.given_name),
        2: replace(other, given_name=node.given_name),
    }
    await one.commit(ChangeSet(put_nodes=exchanged))  # type: ignore[arg-type]
    await one.commit(ChangeSet(delete_nodes={node.id}))
    await one.commit(ChangeSet(put_nodes={node.id: replace(node, given_name="again")}))
    await one.commit(ChangeSet(put_policies=[StoredPolicy(id=n, text="{}", created_at=NOW) for n in (1, 2)]))
    missed = await two.missed(1)
    assert missed is not None
    assert missed.changes is not None
    assert {each.given_name for each in missed.changes.put_nodes.values()} == {"again", node.given_name}
    assert missed.changes.delete_nodes == set()
    assert [policy.id for policy in missed.changes.put_policies] == [1, 2]


async def test_more_rows_than_one_statement_takes(
    stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_IDS_AT_ONCE", 3)
    users = {user.id: user for user in map(make_user, range(1, 11))}
    await stores[0].commit(ChangeSet(put_users=users))
    missed = await stores[1].missed(0)
    assert missed == Missed(seq=1, changes=ChangeSet(put_users=users))


async def test_who_cannot_be_told_row_by_row_has_to_read_everything(
    stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    monkeypatch.setattr(following, "MAX_TOUCHED", 2)
    users = {user.id: user for user in map(make_user, (1, 2, 3))}
    assert touched(ChangeSet(put_users=users)) is None
    await one.commit(ChangeSet(put_users=users))
    assert await two.missed(0) == Missed(seq=1, changes=None)
    await one.commit(ChangeSet(put_users={users[1].id: users[1]}))  # type: ignore[index]
    missed = await two.missed(1)
    assert missed is not None
    assert missed.changes is not None


async def test_a_log_with_a_gap_a_lost_end_or_unknown_tables_is_not_followed(stores: list[Store]) -> None:
    one, two = stores
    for number in (1, 2, 3):
        await one.commit(ChangeSet(counters={"users": number}))
    nothing = Missed(seq=3, changes=None)

    async def run(statement: str) -> None:
        async with one._begin(one._engine) as connection:
            await connection.execute(text(statement))

    assert await two.missed(5) == nothing, "the database was restored from a copy"
    await run("""UPDATE changes SET touched = '{"votes":[1]}' WHERE seq = 3""")
    assert await two.missed(2) == nothing
    await run("DELETE FROM changes WHERE seq = 1")
    assert await two.missed(0) == nothing


def test_what_was_touched_is_named_in_order() -> None:
    changes = ChangeSet(put_users={make_user(2).id: make_user(2)}, delete_users={make_user(1).id})
    assert json.loads(touched(changes) or "") == {"users": [1, 2]}
    assert touched(ChangeSet(counters={"users": 1})) == "{}"


async def test_a_commit_on_top_of_what_was_missed(stores: list[Store]) -> None:
    one, two = stores
    await one.commit(ChangeSet(put_users={1: make_user(1)}), after=0, redo=_never)  # type: ignore[dict-item]
    met: list[Missed] = []

    def redo(missed: Missed) -> ChangeSet:
        met.append(missed)
        return ChangeSet(put_users={2: make_user(2)})  # type: ignore[dict-item]

    stale = ChangeSet(put_users={1: make_user(1, name="stale")})  # type: ignore[dict-item]
    assert await two.commit(stale, after=0, redo=redo) == 2
    assert [(missed.seq, set(missed.changes.put_users)) for missed in met if missed.changes] == [(1, {1})]
    assert {user.name for user in (await one.load()).users.values()} == {"user1", "user2"}


def _never(missed: Missed) -> ChangeSet:
    raise AssertionError("nobody else has committed")


async def test_nothing_is_written_when_nothing_is_left_to_write(stores: list[Store]) -> None:
    one, two = stores
    await one.commit(ChangeSet(counters={"users": 1}))
    assert await two.commit(ChangeSet(counters={"users": 1}), after=0, redo=lambda _: ChangeSet()) == 1
    assert await one.missed(1) is None


async def test_what_the_redo_refuses_is_not_written(stores: list[Store]) -> None:
    one, two = stores
    await one.commit(ChangeSet(counters={"users": 1}))

    def redo(missed: Missed) -> ChangeSet:
        raise UnavailableError("lost track")

    with pytest.raises(UnavailableError) as caught:
        await two.commit(ChangeSet(counters={"users": 9}), after=0, redo=redo)
    assert not isinstance(caught.value, InDoubtError)
    assert (await one.load()).counters == {"users": 1}


async def test_the_numbers_of_commits_have_no_gap_however_instances_race(stores: list[Store]) -> None:
    async def commit_many(store: Store, first: int) -> None:
        known = 0
        for number in range(first, first + 20):

            def redo(missed: Missed, number: int = number) -> ChangeSet:
                return ChangeSet(put_users={number: make_user(number)})  # type: ignore[dict-item]

            known = await store.commit(redo(Missed(seq=0, changes=None)), after=known, redo=redo)

    await asyncio.gather(*(commit_many(store, 100 * n) for n, store in enumerate(stores, 1)))
    async with stores[0]._begin(stores[0]._reading) as connection:
        seqs = list(await connection.scalars(text("SELECT seq FROM changes ORDER BY seq")))
    assert seqs == list(range(1, 41))
    assert len((await stores[1].load()).users) == 40


async def test_a_constraint_still_refuses(stores: list[Store]) -> None:
    one, two = stores
    await one.commit(ChangeSet(put_users={1: make_user(1)}))  # type: ignore[dict-item]
    twin = make_user(2, name="user1")
    with pytest.raises(ConflictError):
        await two.commit(ChangeSet(put_users={2: twin}), after=1, redo=_never)  # type: ignore[dict-item]


async def test_old_entries_go_and_who_needs_them_reads_everything(
    stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    monkeypatch.setattr(store_module, "KEPT_CHANGES", 10)
    async with one._begin(one._engine) as connection:
        await connection.execute(
            text(
                "INSERT INTO changes (seq, at, summary, touched) "
                "SELECT n, :at, 's', '{}' FROM generate_series(1, 999) n"
            ),
            {"at": (NOW - timedelta(days=1)).isoformat()[:26]},
        )
    assert await one.commit(ChangeSet(counters={"users": 1})) == 1000
    assert await two.missed(500) == Missed(seq=1000, changes=None)
    assert await two.missed(990) == Missed(seq=1000, changes=ChangeSet(counters={"users": 1}))
