"""The single writer: batches, failures, volatile facts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from acl import OpenWindow
from coordinator.audit.origin import acting_from
from coordinator.services import writer as services_writer
from coordinator.tailnet.actors import Actor, Origin
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, InDoubtError, UnavailableError
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.state import ChangeSet, TailnetState
from tests.support.builders import NOW, make_node, make_user, node_key
from tests.support.tailnets import make_tailnet

ACTOR = Actor(kind="user", name="alice")


def one_node() -> TailnetState:
    user, node = make_user(1), make_node(1)
    return TailnetState(users={user.id: user}, nodes={node.id: node})


async def test_commands_that_wait_together_share_a_commit() -> None:
    tailnet, store, _ = make_tailnet()
    waiting = [
        asyncio.create_task(tailnet.execute(lambda directory, n=n: directory.put_user(make_user(n))))
        for n in range(1, 20)
    ]
    await asyncio.sleep(0)
    tailnet.start()
    await asyncio.gather(*waiting)
    await tailnet.close()
    assert len(store.commits) == 1
    assert len(tailnet.snapshot.users) == 19


async def test_one_failing_command_takes_nobody_along() -> None:
    tailnet, store, _ = make_tailnet()

    def broken(directory: Directory) -> None:
        directory.put_user(make_user(5))
        raise ConflictError("no")

    good = asyncio.create_task(tailnet.execute(lambda directory: directory.put_user(make_user(1))))
    bad = asyncio.create_task(tailnet.execute(broken))
    bug = asyncio.create_task(tailnet.execute(lambda directory: 1 // 0))
    await asyncio.sleep(0)
    tailnet.start()
    await good
    with pytest.raises(ConflictError):
        await bad
    with pytest.raises(ZeroDivisionError):
        await bug
    await tailnet.close()
    assert set(tailnet.snapshot.users) == {1}
    assert set(store.commits[0].put_users) == {1}


async def test_a_failed_commit_changes_nothing_and_the_next_works() -> None:
    tailnet, store, _ = make_tailnet()
    tailnet.start()
    store.broken = True
    with pytest.raises(UnavailableError):
        await tailnet.execute(lambda directory: directory.put_user(make_user(1)))
    assert tailnet.snapshot.users == {}
    store.broken = False
    await tailnet.execute(lambda directory: directory.put_user(make_user(2)))
    assert set(tailnet.snapshot.users) == {2}
    assert set(store.commits[0].put_users) == {2}
    await tailnet.close()


async def test_a_command_without_effect_costs_no_commit() -> None:
    tailnet, store, _ = make_tailnet()
    tailnet.start()
    assert await tailnet.execute(lambda directory: 7) == 7
    await tailnet.close()
    assert store.commits == []


async def test_volatile_facts_are_kept_over_a_durable_change() -> None:
    tailnet, store, _ = make_tailnet(one_node())
    tailnet.start()
    tailnet.update_volatile(make_node(1).id, endpoints=("192.0.2.1:1",), online=True)
    await tailnet.execute(
        lambda directory: directory.put_node(replace(directory.node(make_node(1).id), given_name="x"))
    )
    node = tailnet.snapshot.nodes()[0]
    assert (node.given_name, node.endpoints, node.online) == ("x", ("192.0.2.1:1",), True)
    assert store.commits[0].put_nodes[node.id].endpoints == ("192.0.2.1:1",)
    await tailnet.close()


async def test_volatile_facts_are_saved_at_the_end_and_after_an_outage() -> None:
    tailnet, store, _ = make_tailnet(one_node())
    tailnet.start()
    tailnet.update_volatile(make_node(1).id, home_derp=7)
    store.broken = True
    with pytest.raises(UnavailableError):
        await tailnet.close()
    store.broken = False
    await tailnet.close()
    assert [node.home_derp for node in store.saved] == [7]


async def test_what_did_not_change_is_told_to_nobody() -> None:
    tailnet, _, _ = make_tailnet(one_node())
    told: list[int] = []
    tailnet.on_change(told.append)
    tailnet.update_volatile(make_node(1).id, home_derp=0)
    assert told == []


async def test_departures_are_announced() -> None:
    tailnet, _, clock = make_tailnet(one_node())
    gone: list[Node] = []
    tailnet.on_departure(gone.append)
    tailnet.start()
    await tailnet.execute(
        lambda directory: directory.put_node(replace(directory.node(make_node(1).id), node_key=node_key(9)))
    )
    soon = clock.now + timedelta(minutes=1)
    await tailnet.execute(
        lambda directory: directory.put_node(replace(directory.node(make_node(1).id), expiry=soon))
    )
    clock.forward(minutes=2)
    assert tailnet.expire_due() == [1]
    assert tailnet.expire_due() == []
    await tailnet.execute(lambda directory: directory.delete_node(make_node(1).id))
    await tailnet.close()
    assert [node.node_key for node in gone] == [node_key(1), node_key(9), node_key(9)]


async def test_what_expired_while_nobody_looked_is_expired_at_the_start() -> None:
    state = one_node()
    before = make_node(1, expiry=NOW - timedelta(hours=1))
    tailnet, _, _ = make_tailnet(TailnetState(users=state.users, nodes={before.id: before}))
    record = tailnet.snapshot.record(before.id)
    assert record is not None
    assert record.expired


async def test_open_windows_concern_their_nodes_only() -> None:
    nodes = [make_node(1), make_node(2, tags=("tag:mgmt",)), make_node(3)]
    profile = '{"src": ["user1@"], "dst": ["tag:mgmt:22"]}'
    policy = f'{{"tagOwners": {{"tag:mgmt": []}}, "acls": [], "access": {{"profiles": {{"m": {profile}}}}}}}'
    state = TailnetState(users=one_node().users, nodes={node.id: node for node in nodes})
    tailnet, _, _ = make_tailnet(state, policy=policy)
    told: list[int] = []
    tailnet.on_change(told.append)
    seq, window = tailnet.snapshot.seq, OpenWindow(id=1, profile="m", nodes=(1,))
    for windows, expected in (((window,), 0b11), ((window,), None), ((), 0b11)):
        told.clear()
        tailnet.set_windows(windows)
        assert told == ([] if expected is None else [expected])
    assert tailnet.snapshot.seq == seq + 2


async def test_commands_after_the_end_are_refused() -> None:
    tailnet, _, _ = make_tailnet()
    waiting = asyncio.create_task(tailnet.execute(lambda directory: 1))
    await asyncio.sleep(0)
    await tailnet.close()
    with pytest.raises(UnavailableError, match="shutting down"):
        await waiting


async def test_the_writer_survives_what_nobody_foresaw(monkeypatch: pytest.MonkeyPatch) -> None:
    tailnet, store, _ = make_tailnet()
    tailnet.start()
    commit = store.commit

    async def broken(changes: object) -> int:
        raise OverflowError("a driver's own idea")

    monkeypatch.setattr(store, "commit", broken)
    with pytest.raises(UnavailableError, match="could not be stored"):
        await tailnet.execute(lambda directory: directory.next_id("users"))
    monkeypatch.setattr(store, "commit", commit)
    assert await tailnet.execute(lambda directory: directory.next_id("users")) == 2, (
        "a lost commit may have happened"
    )
    await tailnet.close()


@pytest.mark.parametrize("mark", ["landed", "lost"])
async def test_a_commit_in_doubt_is_settled_before_the_next(
    monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    tailnet, store, _ = make_tailnet()
    tailnet.start()
    commit = store.commit

    async def lossy(changes: ChangeSet, **_: object) -> int:
        store.broken = True
        raise InDoubtError("the connection broke", mark)

    monkeypatch.setattr(store, "commit", lossy)
    monkeypatch.setattr(services_writer, "DOUBT_INTERVAL", 0.01)
    monkeypatch.setattr(services_writer, "DOUBT_SECONDS", 0.05)
    first = asyncio.create_task(tailnet.execute(lambda directory: directory.put_user(make_user(1))))
    with pytest.raises(UnavailableError, match="not known yet"):
        await first  # the database stays away for longer than callers wait
    second = asyncio.create_task(tailnet.execute(lambda directory: [u.id for u in directory.users()]))
    await asyncio.sleep(0.05)
    assert not second.done(), "nobody knows yet on top of what it would be"
    monkeypatch.setattr(store, "commit", commit)
    store.broken = False
    assert await second == ([1] if mark == "landed" else [])
    assert set(tailnet.snapshot.users) == ({1} if mark == "landed" else set())
    await tailnet.close()


async def test_a_commit_of_somebody_else_is_noticed() -> None:
    tailnet, store, _ = make_tailnet()
    tailnet.start()
    told: list[int] = []
    tailnet.on_stranger(lambda: told.append(1))
    for number in (1, 2):
        await tailnet.execute(lambda directory, n=number: directory.put_user(make_user(n)))
    assert not told
    store.commits.append(ChangeSet())
    await tailnet.execute(lambda directory: directory.put_user(make_user(3)))
    assert told == [1]
    await tailnet.close()


async def test_every_entry_knows_where_its_command_came_from() -> None:
    tailnet, store, clock = make_tailnet()
    tailnet.start()

    async def create(number: int) -> None:
        def command(directory: Directory) -> None:
            directory.put_user(make_user(number))
            directory.audit(clock(), ACTOR, "user.create", f"user:{number}")

        with acting_from(Origin(source=f"192.0.2.{number}", request_id=str(number), reason="r")):
            await tailnet.execute(command)

    await asyncio.gather(*(create(number) for number in (1, 2, 3)))
    await tailnet.execute(lambda directory: directory.audit(clock(), ACTOR, "a.b", "c:d", reason="own"))
    entries = [entry for commit in store.commits for entry in commit.audit]
    assert [(entry.origin.source, entry.reason) for entry in entries] == [
        ("192.0.2.1", "r"),
        ("192.0.2.2", "r"),
        ("192.0.2.3", "r"),
        ("", "own"),
    ]
    await tailnet.close()


async def test_no_change_goes_without_an_entry() -> None:
    tailnet, store, clock = make_tailnet()
    tailnet.start()
    await tailnet.execute(lambda directory: directory.put_user(make_user(1)))
    (entry,) = store.commits[0].audit
    assert (entry.action, str(entry.actor), entry.after) == (
        "change.unnamed",
        "system:writer",
        {"objects": ["user:1"]},
    )

    def refused(directory: Directory) -> None:
        directory.delete_user(make_user(1).id)
        directory.audit(clock(), ACTOR, "user.delete", "user:1")
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        await tailnet.execute(refused)
    await tailnet.execute(lambda directory: directory.next_id("users"))
    assert [len(commit.audit) for commit in store.commits] == [1, 0], "no entry without a change"
    await tailnet.close()
