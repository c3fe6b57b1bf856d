"""The single writer of one instance among several: what others commit meanwhile is taken over first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from coordinator.services import writer as services_writer
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, CoordinatorError, NotFoundError, UnavailableError
from coordinator.tailnet.state import ChangeSet
from coordinator.tailnet.users import UserID
from tests.support.builders import make_key, make_node, make_user
from tests.support.tailnets import MemoryStore, make_tailnet


@dataclass
class Pair:
    """Two instances on one store, none of which looks at it by itself."""

    store: MemoryStore
    one: Tailnet
    two: Tailnet

    async def both(self) -> None:
        await self.one.catch_up()
        await self.two.catch_up()

    def users(self) -> list[list[int]]:
        return [sorted(each.snapshot.users) for each in (self.one, self.two)]


@pytest.fixture
async def pair(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr(services_writer, "DOUBT_INTERVAL", 0.01)
    store = MemoryStore()
    one, _, clock = make_tailnet(store=store)
    two, _, _ = make_tailnet(store=store, clock=clock)
    for each in (one, two):
        each.start()
    yield Pair(store, one, two)
    store.broken = False
    for each in (one, two):
        await each.close()


def new_user(directory: Directory) -> int:
    number = directory.next_id("users")
    directory.put_user(make_user(number))
    return number


def new_node(name: str) -> Any:
    """A node with the first free address, as registration does it, and a name nobody has."""

    def command(directory: Directory) -> int:
        if directory.name_taken(name):
            raise ConflictError(f"`{name}` is taken")
        number = directory.next_id("nodes")
        node = make_node(number, given_name=name)
        first = next(
            host for host in range(1, 250) if not directory.address_taken(replace_last(node.ipv4, host))
        )
        directory.put_node(replace(node, ipv4=replace_last(node.ipv4, first)))
        return number

    return command


def replace_last(address: Any, host: int) -> Any:
    return type(address)((int(address) & ~0xFF) | host)


async def test_a_command_runs_again_on_top_of_what_another_instance_committed(pair: Pair) -> None:
    seen: list[int] = []

    def command(directory: Directory) -> int:
        seen.append(len(list(directory.users())))
        return new_user(directory)

    assert await pair.one.execute(new_user) == 1
    assert await pair.two.execute(command) == 2
    assert seen == [0, 1]
    assert pair.users() == [[1], [1, 2]]
    await pair.both()
    assert pair.users() == [[1, 2]] * 2


async def test_what_runs_twice_leaves_one_entry_in_the_audit_log(pair: Pair) -> None:
    for tailnet in (pair.one, pair.two, pair.one):
        await tailnet.execute(new_user)
    assert [len(commit.audit) for commit in pair.store.commits] == [1, 1, 1]


async def test_ids_are_given_once_however_instances_race(pair: Pair) -> None:
    racing = [each.execute(new_user) for _ in range(50) for each in (pair.one, pair.two)]
    assert sorted(await asyncio.gather(*racing)) == list(range(1, 101))
    await pair.both()
    assert pair.users() == [list(range(1, 101))] * 2


async def test_a_refusal_becomes_an_acceptance_by_what_another_has_stored(pair: Pair) -> None:
    await pair.one.execute(new_user)
    assert await pair.two.execute(lambda directory: directory.user(UserID(1)).name) == "user1"
    with pytest.raises(NotFoundError):
        await pair.two.execute(lambda directory: directory.user(UserID(2)))


async def test_a_refusal_in_a_batch_costs_nobody_anything(pair: Pair) -> None:
    await pair.one.execute(new_user)
    done = await asyncio.gather(
        pair.two.execute(new_user),
        pair.two.execute(lambda directory: directory.user(UserID(9))),
        pair.two.execute(lambda directory: directory.user(UserID(1)).id),
        return_exceptions=True,
    )
    assert (done[0], type(done[1]), done[2]) == (2, NotFoundError, 1)


async def test_an_acceptance_becomes_a_refusal(pair: Pair) -> None:
    await pair.one.execute(new_node("web"))
    with pytest.raises(ConflictError):
        await pair.two.execute(new_node("web"))
    assert len(pair.store.commits) == 1, "nothing was left to write"
    assert [node.id for node in pair.two.snapshot.nodes()] == [1], "and what was missed is known"


async def test_names_addresses_and_keys_are_given_once(pair: Pair) -> None:
    racing = [each.execute(new_node(f"n{n}")) for n in range(20) for each in (pair.one, pair.two)]
    done = await asyncio.gather(*racing, return_exceptions=True)
    assert [type(each) for each in done].count(ConflictError) == 20
    await pair.both()
    nodes = pair.one.snapshot.nodes()
    assert nodes == pair.two.snapshot.nodes()
    assert len({node.ipv4 for node in nodes}) == len({node.given_name for node in nodes}) == 20


async def test_a_key_for_one_use_is_used_once(pair: Pair) -> None:
    key, _ = make_key()
    await pair.one.execute(lambda directory: directory.put_preauth_key(key))
    await pair.two.catch_up()

    def spend(directory: Directory) -> None:
        if directory.preauth_key(key.id).used:
            raise ConflictError("used")
        directory.put_preauth_key(replace(key, used=True))

    done = await asyncio.gather(
        *(each.execute(spend) for each in (pair.one, pair.two)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in done) == ["ConflictError", "NoneType"]


async def test_nodes_exchange_names_in_what_another_missed(pair: Pair) -> None:
    for name in ("a", "b"):
        await pair.one.execute(new_node(name))
    await pair.two.catch_up()
    for number, name in ((1, "spare"), (2, "a"), (1, "b")):
        await pair.one.execute(
            lambda directory, number=number, name=name: directory.put_node(
                replace(directory.node(number), given_name=name)
            )
        )
    await pair.two.catch_up()
    assert [node.given_name for node in pair.two.snapshot.nodes()] == ["b", "a"]
    with pytest.raises(ConflictError):
        await pair.two.execute(new_node("a"))
    assert await pair.two.execute(new_node("spare")) == 3


async def test_one_id_is_deleted_and_put_again_in_what_another_missed(pair: Pair) -> None:
    await pair.one.execute(new_user)
    await pair.one.execute(new_node("a"))
    await pair.two.catch_up()
    for number in (1, 2):
        await pair.one.execute(lambda directory: directory.delete_node(make_node(1).id))
        again = make_node(1, given_name=f"again{number}")
        await pair.one.execute(lambda directory, node=again: directory.put_node(node))
    await pair.two.catch_up()
    assert [node.given_name for node in pair.two.snapshot.nodes()] == ["again2"]
    await pair.two.execute(lambda directory: directory.delete_node(make_node(1).id))
    await pair.one.catch_up()
    assert pair.one.snapshot.nodes() == []
    assert await pair.one.execute(lambda directory: directory.name_taken("again2")) is False


@pytest.mark.parametrize("doubt", ["landed", "lost"])
async def test_a_commit_in_doubt_on_top_of_what_another_committed(pair: Pair, doubt: Any) -> None:
    await pair.one.execute(new_user)
    pair.store.doubt = doubt
    if doubt == "landed":
        assert await pair.two.execute(new_user) == 2
    else:
        with pytest.raises(UnavailableError):
            await pair.two.execute(new_user)
    assert await pair.two.execute(new_user) == (3 if doubt == "landed" else 2)
    assert await pair.one.execute(new_user) == (4 if doubt == "landed" else 3)
    await pair.both()
    assert pair.users() == [sorted(pair.store.load().users)] * 2


async def test_ids_are_given_once_after_a_commit_that_failed(pair: Pair) -> None:
    pair.store.broken = True
    with pytest.raises(UnavailableError):
        await pair.one.execute(new_user)
    pair.store.broken = False
    for _ in range(3):
        await pair.two.execute(new_user)
    await pair.one.catch_up()
    with pytest.raises(NotFoundError):
        await pair.one.execute(lambda directory: directory.user(UserID(9)))
    assert await pair.one.execute(new_user) == 4
    assert await pair.two.execute(new_user) == 5
    assert pair.store.load().counters == {"users": 5}


async def test_no_counter_goes_back_after_a_commit_that_failed(pair: Pair) -> None:
    pair.store.broken = True
    with pytest.raises(UnavailableError):
        await pair.one.execute(new_user)
    pair.store.broken = False
    for _ in range(3):
        await pair.two.execute(new_user)
    await pair.one.catch_up()
    await pair.one.execute(lambda directory: directory.put_node(make_node(1)))
    assert pair.store.load().counters == {"users": 3}


async def test_a_database_that_is_away_leaves_what_is_known(pair: Pair) -> None:
    await pair.one.execute(new_user)
    pair.store.broken = True
    await pair.two.catch_up()
    with pytest.raises(NotFoundError):
        await pair.two.execute(lambda directory: directory.user(UserID(1)))
    pair.store.broken = False
    await pair.two.catch_up()
    assert pair.users() == [[1], [1]]


async def test_who_is_too_far_behind_begins_again_and_stores_nothing(pair: Pair) -> None:
    """On top of what it does not know it would give ids again, and write over what others wrote."""
    told: list[int] = []
    pair.two.on_stranger(lambda: told.append(1))
    await pair.one.execute(new_user)
    pair.store.forgetful = True
    for command in (new_user, lambda directory: directory.user(UserID(7))):
        with pytest.raises(CoordinatorError):
            await pair.two.execute(command)
    assert told
    assert len(pair.store.commits) == 1
    assert pair.users() == [[1], []]


async def test_what_cannot_be_taken_over_ends_no_writer(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of a newer release, say: the server has to begin again, and whoever asks is answered."""
    told: list[int] = []
    pair.two.on_stranger(lambda: told.append(1))
    await pair.one.execute(new_user)

    async def unreadable(after: int) -> None:
        raise ValueError("a kind of record from the future")

    monkeypatch.setattr(pair.store, "missed", unreadable)
    pair.two.nudge()
    async with asyncio.timeout(1):
        with pytest.raises(UnavailableError):
            await pair.two.execute(new_user)
        await pair.two.catch_up()
    assert told


async def test_a_nudge_takes_over_what_others_committed(pair: Pair) -> None:
    taken: list[ChangeSet] = []
    pair.two.on_commit(taken.append)
    await pair.one.execute(new_user)
    for _ in range(3):
        pair.two.nudge()
    while not pair.two.snapshot.users:
        await asyncio.sleep(0)
    await pair.two.catch_up()
    assert [set(changes.put_users) for changes in taken] == [{1}], "once"


async def test_one_that_is_alone_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    tailnet, store, _ = make_tailnet()
    monkeypatch.setattr(store, "missed", None)
    tailnet.start()
    tailnet.nudge()
    await tailnet.catch_up()
    assert await tailnet.execute(new_user) == 1
    await tailnet.close()
