"""The chain in both databases: appended, read, tampered with."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import URL, text

from coordinator.audit.entry import GENESIS, Cursor, Head, seal
from coordinator.audit.query import AuditQuery
from coordinator.services.audit import AuditService, Verification
from coordinator.store import audit_log
from coordinator.store.engine import make_engine
from coordinator.store.migrate import migrate
from coordinator.store.store import Store
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ConflictError, UnavailableError
from coordinator.tailnet.state import AuditEntry, ChangeSet
from tests.support.audit_entries import make_chain, make_entry
from tests.support.builders import NOW, make_user


async def fill(store: Store, count: int = 5) -> None:
    """A log of so many entries, in batches of two."""
    entries = [make_entry(number) for number in range(1, count + 1)]
    for first in range(0, count, 2):
        await store.commit(ChangeSet(audit=entries[first : first + 2]))


async def tamper(url: URL, *statements: str) -> None:
    engine = make_engine(url)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


async def verify(store: Store) -> Verification:
    return await AuditService(store.audit).verify()


def found(verification: Verification) -> set[tuple[str, int]]:
    return {(finding.kind, finding.id) for finding in verification.findings}


async def test_what_is_appended_is_the_chain(store: Store) -> None:
    await fill(store)
    chain, head = make_chain(5)
    assert await store.audit.entries(AuditQuery(after=0)) == chain
    assert await store.audit.head() == head
    verification = await verify(store)
    assert (verification.entries, verification.findings, verification.head) == (5, (), head)


async def test_a_long_log_is_verified_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "PAGE", 2)
    await fill(store, 6)
    assert (await verify(store)).entries == 6
    await fill(store, 1)
    assert (await verify(store)).entries == 7


async def test_an_empty_log_is_intact(store: Store) -> None:
    assert await verify(store) == Verification(entries=0, head=Head(), findings=(), wrong=0)


async def test_a_refused_batch_leaves_no_entry_and_no_gap(store: Store) -> None:
    await store.commit(ChangeSet(put_users={make_user(1).id: make_user(1)}, audit=[make_entry(1)]))
    with pytest.raises(ConflictError):
        user = make_user(2, name="user1")
        await store.commit(ChangeSet(put_users={user.id: user}, audit=[make_entry(2)]))
    await store.commit(ChangeSet(audit=[make_entry(3)]))
    assert [entry.object_id for entry in await store.audit.entries(AuditQuery(after=0))] == ["1", "3"]
    assert found(await verify(store)) == set()


async def test_strange_characters_are_stored_as_they_are_hashed(store: Store) -> None:
    odd = "nämé \0 \ud800 \U0001f600\n'\""
    await store.commit(ChangeSet(audit=[make_entry(1, object_name=odd, reason=odd, after={odd: odd})]))
    assert found(await verify(store)) == set()
    assert (await store.audit.entries(AuditQuery()))[0].object_name.startswith("nämé \ufffd \ufffd")


_COLUMNS = (
    "at, actor_kind, actor_name, source, action, object_kind, object_id, object_name, before, after, "
    "reason, request_id, previous, hash"
)
_SWAP = tuple(
    f"UPDATE audit SET id = {after} WHERE id = {before}" for before, after in ((2, 99), (3, 2), (99, 3))
)
_COPY = f"INSERT INTO audit (id, {_COLUMNS}) SELECT 6, {_COLUMNS} FROM audit WHERE id = 2"
_MAKE_ROOM = tuple(f"UPDATE audit SET id = {number + 1} WHERE id = {number}" for number in (5, 4, 3))
_COPY_INSIDE = f"INSERT INTO audit (id, {_COLUMNS}) SELECT 3, {_COLUMNS} FROM audit WHERE id = 2"


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("UPDATE audit SET actor_name = 'bob' WHERE id = 3",), {("modified", 3)}),
        (("UPDATE audit SET at = '2020-01-01' WHERE id = 1",), {("modified", 1)}),
        (("UPDATE audit SET after = 'no document' WHERE id = 5",), {("modified", 5)}),
        (("DELETE FROM audit WHERE id = 3",), {("removed", 3)}),
        (("DELETE FROM audit WHERE id = 1",), {("removed", 1)}),
        (_SWAP, {("reordered", 2), ("reordered", 3), ("relinked", 2), ("relinked", 3), ("relinked", 4)}),
        ((_COPY,), {("inserted", 6)}),
        (
            (*_MAKE_ROOM, _COPY_INSIDE),
            {
                ("reordered", 3), ("relinked", 3), ("reordered", 4), ("reordered", 5), ("inserted", 6),
                ("rewritten", 5),
            },
        ),
        (("DELETE FROM audit WHERE id > 3",), {("truncated", 4)}),
        (("DELETE FROM audit",), {("truncated", 1)}),
        (("DELETE FROM audit_head",), {("truncated", 5)}),
        (
            ("UPDATE audit_head SET first_id = 3",),
            {("inserted", 1), ("inserted", 2), ("relinked", 3), ("removed", 1)},
        ),
    ],
)  # fmt: skip
async def test_tampering_is_found(
    store: Store, url: URL, statements: tuple[str, ...], expected: set[tuple[str, int]]
) -> None:
    await fill(store)
    await tamper(url, *statements)
    assert found(await verify(store)) == expected


async def test_a_tail_cut_together_with_the_head_is_known_to_the_sinks(store: Store, url: URL) -> None:
    await fill(store)
    chain, _ = make_chain(5)
    await store.audit.save_cursor(Cursor("file", 5, chain[4].hash))
    await tamper(
        url,
        "DELETE FROM audit WHERE id > 3",
        f"UPDATE audit_head SET last_id = 3, last_hash = '{chain[2].hash}'",
    )
    assert found(await verify(store)) == {("truncated", 5)}


async def test_a_log_written_anew_is_known_to_the_sinks(store: Store, url: URL) -> None:
    await fill(store)
    chain, _ = make_chain(5)
    await store.audit.save_cursor(Cursor("file", 4, chain[3].hash))
    forged = list(seal([make_entry(4, reason="none"), make_entry(5)], 3, chain[2].hash))
    await tamper(
        url,
        *(
            f"UPDATE audit SET reason = '{entry.reason}', previous = '{entry.previous}', "
            f"hash = '{entry.hash}' WHERE id = {entry.id}"
            for entry in forged
        ),
        f"UPDATE audit_head SET last_hash = '{forged[1].hash}'",
    )
    assert found(await verify(store)) == {("rewritten", 4)}


async def test_without_the_head_row_nothing_can_be_changed(store: Store, url: URL) -> None:
    await fill(store, 1)
    await tamper(url, "DELETE FROM audit_head")
    user = make_user(1)
    with pytest.raises(UnavailableError, match="audit verify"):
        await store.commit(ChangeSet(put_users={user.id: user}, audit=[make_entry(2)]))
    assert (await store.load()).users == {}


async def test_two_servers_on_one_database_make_one_chain(url: URL) -> None:
    stores = [await Store.open(url) for _ in range(2)]
    try:
        await asyncio.gather(
            *(
                stores[number % 2].commit(ChangeSet(audit=[make_entry(number), make_entry(number + 100)]))
                for number in range(20)
            )
        )
        verification = await verify(stores[0])
        assert (verification.entries, verification.findings) == (40, ())
        entries = await stores[0].audit.entries(AuditQuery(after=0, limit=50))
        numbers = [int(entry.object_id) for entry in entries]
        assert [number + 100 for number in numbers[::2]] == numbers[1::2], "batches stay together"
    finally:
        for store in stores:
            await store.close()


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (AuditQuery(), [5, 4, 3, 2, 1]),
        (AuditQuery(limit=2), [5, 4]),
        (AuditQuery(before=3), [2, 1]),
        (AuditQuery(after=3), [4, 5]),
        (AuditQuery(after=1, before=4), [2, 3]),
        (AuditQuery(since=NOW + timedelta(seconds=4)), [5, 4]),
        (AuditQuery(until=NOW + timedelta(seconds=2)), [1]),
        (AuditQuery(actor="bob"), [2]),
        (AuditQuery(actor="node"), [2]),
        (AuditQuery(actor="node:bob"), [2]),
        (AuditQuery(actor="user:bob"), []),
        (AuditQuery(action="user.create"), [3]),
        (AuditQuery(action="node.*"), [5, 4, 2, 1]),
        (AuditQuery(action="%*"), []),
        (AuditQuery(object="node:4"), [4]),
        (AuditQuery(object="node"), [5, 4, 2, 1]),
        (AuditQuery(object="host4"), [4]),
    ],
)
async def test_queries(store: Store, query: AuditQuery, ids: list[int]) -> None:
    special: dict[int, AuditEntry] = {
        2: make_entry(2, actor=Actor(kind="node", name="bob")),
        3: make_entry(3, action="user.create", object_kind="user"),
    }
    entries = [special.get(number, make_entry(number)) for number in range(1, 6)]
    await store.commit(ChangeSet(audit=entries))
    assert [entry.id for entry in await store.audit.entries(query)] == ids


async def test_cursors_are_remembered_by_sink(store: Store) -> None:
    assert await store.audit.cursor("file") == Cursor("file", 0, GENESIS)
    await fill(store, 2)
    for number in (1, 2):
        await store.audit.save_cursor(Cursor("file", number, str(number)))
    await store.audit.save_cursor(Cursor("a", 1, "1"))
    assert await store.audit.cursor("file") == Cursor("file", 2, "2")
    assert await store.audit.cursors() == [Cursor("a", 1, "1"), Cursor("file", 2, "2")]


async def test_listeners_hear_of_entries_that_are_committed(store: Store) -> None:
    heard: list[int] = []
    store.audit.on_append(lambda: heard.append(1))
    await store.commit(ChangeSet(put_users={make_user(1).id: make_user(1)}))
    assert heard == []
    await store.commit(ChangeSet(audit=[make_entry(1)]))
    assert heard == [1]


async def test_entries_of_before_the_chain_are_sealed_by_the_migration(url: URL) -> None:
    engine = make_engine(url)
    await migrate(engine, "0001")
    await engine.dispose()
    insert = "INSERT INTO audit (id, at, actor, action, target, details) VALUES "
    await tamper(
        url,
        insert
        + "(3, '2026-01-01T00:00:00.000000Z', 'socket:local', 'user.create', 'user:1', '{\"name\": \"é\"}')",
        insert + "(7, '2026-01-02T00:00:00.000000Z', 'system:sweeper', 'node.delete', 'node:4', '{}')",
        "INSERT INTO counters (name, value) VALUES ('audit', '7')",
    )
    store = await Store.open(url)
    try:
        await store.commit(ChangeSet(audit=[make_entry(3)]))
        entries = await store.audit.entries(AuditQuery(after=0))
        assert [(entry.id, entry.actor_name, entry.object_id) for entry in entries] == [
            (1, "local", "1"),
            (2, "sweeper", "4"),
            (3, "alice", "3"),
        ]
        assert found(await verify(store)) == set()
        assert (await store.load()).counters == {}
    finally:
        await store.close()


LATER = NOW + timedelta(seconds=63)
MINUTE = timedelta(minutes=1)


async def test_old_entries_are_given_up_only_with_an_entry_that_says_so(store: Store) -> None:
    await fill(store)
    chain, _ = make_chain(5)
    assert await store.audit.prune(NOW, MINUTE, []) == 0
    assert await store.audit.prune(LATER, MINUTE, []) == 2
    entries = await store.audit.entries(AuditQuery(after=0))
    assert entries[:3] == chain[2:]
    assert (entries[3].id, entries[3].action, entries[3].object_id) == (6, "audit.prune", "1-2")
    assert found(await verify(store)) == set()
    assert await store.audit.prune(LATER, MINUTE, []) == 0
    assert await store.audit.prune(LATER + timedelta(days=1), MINUTE, []) == 4
    assert [entry.id for entry in await store.audit.entries(AuditQuery(after=0))] == [7]
    assert found(await verify(store)) == set()
    await fill(store, 2)
    assert found(await verify(store)) == set()
    # A new sink begins with what is left.
    assert (await store.audit.cursor("file")).last_id == 6


async def test_what_a_sink_has_not_taken_is_never_given_up(store: Store) -> None:
    await fill(store)
    assert await store.audit.prune(LATER, MINUTE, ["slow", "new"]) == 0
    await store.audit.save_cursor(Cursor("slow", 1, make_chain(1)[1].last_hash))
    await store.audit.save_cursor(Cursor("gone", 0, GENESIS))
    assert await store.audit.prune(LATER, MINUTE, ["slow"]) == 1, "a sink of former days holds nothing back"
    assert found(await verify(store)) == set()


async def test_taking_the_oldest_away_does_not_look_like_retention(store: Store, url: URL) -> None:
    await fill(store)
    chain, _ = make_chain(5)
    ends = f"first_id = 3, first_previous = '{chain[1].hash}'"
    await tamper(url, "DELETE FROM audit WHERE id < 3", f"UPDATE audit_head SET {ends}")
    assert found(await verify(store)) == {("removed", 1)}
    with pytest.raises(ConflictError, match="begins with 3"):
        await store.audit.prune(LATER + timedelta(seconds=2), MINUTE, [])
    assert found(await verify(store)) == {("removed", 1)}
