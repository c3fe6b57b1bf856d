"""Who is there, what is new about connected nodes, and what waits for people, on PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import URL, text

from coordinator.store.board import Board
from coordinator.store.store import Store
from coordinator.tailnet.errors import UnavailableError
from coordinator.tailnet.instances import Instance, LiveNode, Waiting
from coordinator.tailnet.state import ChangeSet
from tests.support.builders import NOW, make_node, make_user
from tests.support.postgres import Cluster

pytestmark = pytest.mark.postgres


def make_instance(number: int) -> Instance:
    return Instance(
        id=f"i{number}",
        server_url="https://hs.example.com",
        noise_key="mkey:1",
        relay='{"region_id":900}' if number == 1 else "",
        started_at=NOW + timedelta(microseconds=number),
    )


@pytest.fixture
def boards(stores: list[Store]) -> Iterator[tuple[Board, Board]]:
    yield stores[0].board, stores[1].board


async def test_instances_come_beat_and_go(boards: tuple[Board, Board]) -> None:
    one, two = boards
    assert await one.beat("i1") is False
    for number in (2, 1):
        await one.join(make_instance(number))
    assert await two.instances() == [make_instance(1), make_instance(2)]
    assert await two.beat("i2") is True
    await one.join(make_instance(1))
    assert [each.beats for each in await one.instances()] == [0, 1]
    await two.leave("i1")
    await two.leave("i1")
    assert [each.id for each in await one.instances()] == ["i2"]


async def test_the_newest_word_about_a_node_is_kept(boards: tuple[Board, Board]) -> None:
    one, two = boards
    node = make_node(1, endpoints=("192.0.2.1:1",), home_derp=900, online=True, last_seen=NOW)
    await one.tell("a", 1, [(node, True), (make_node(2), True)])
    (said, other) = await two.told([("a", 0), ("b", -1)])
    assert (said.node_id, said.instance, said.version, said.connected) == (1, "a", 1, True)
    assert replace(make_node(1), **said.facts) == node
    assert other.node_id == 2
    assert await two.told([("a", 1)]) == []
    await two.tell("b", 7, [(node, False)])
    assert [each.node_id for each in await one.told([("a", -1)])] == [2]
    assert [(each.version, each.connected) for each in await one.told([("b", 6)])] == [(7, False)]


async def test_words_about_the_same_nodes_at_once_do_not_block_each_other(
    boards: tuple[Board, Board],
) -> None:
    nodes = [(make_node(number), True) for number in range(1, 60)]
    async with asyncio.timeout(20):
        await asyncio.gather(
            *(
                board.tell(name, version, nodes[:: 1 if version % 2 else -1])
                for version in range(10)
                for name, board in zip("ab", boards, strict=True)
            )
        )
    assert len(await boards[0].told([("a", -1), ("b", -1)])) == 59


async def test_words_about_nodes_that_are_gone_are_cleared_by_who_joins(stores: list[Store]) -> None:
    board = stores[0].board
    await stores[0].commit(ChangeSet(put_users={1: make_user(1)}, put_nodes={1: make_node(1)}))  # type: ignore[dict-item]
    await board.tell("a", 1, [(make_node(1), True), (make_node(2), True)])
    await board.join(make_instance(1))
    assert [each.node_id for each in await board.told([("a", -1)])] == [1]


async def test_what_waits_is_told_decided_and_forgotten(boards: tuple[Board, Board]) -> None:
    one, two = boards
    first, second = (Waiting(id=each, kind="login", body="{}", began=NOW) for each in ("w1", "w2"))
    await one.await_decision([first], NOW - timedelta(minutes=1))
    await one.await_decision([first, second], NOW - timedelta(minutes=1))
    assert await two.waiting([]) == ([first, second], {})
    assert await two.waiting(["w1"]) == ([second], {})
    await two.decide("w1", True)
    await two.decide("w9", True)
    assert await one.waiting([]) == ([second], {"w1": True})
    late = Waiting(id="w3", kind="ssh", body="[]", began=NOW + timedelta(hours=1))
    await one.await_decision([late], NOW + timedelta(minutes=1))
    assert await two.waiting([]) == ([late], {})


async def test_a_crash_of_the_database_empties_what_is_not_logged_and_nothing_else(
    cluster: Cluster, stores: list[Store]
) -> None:
    one, two = stores
    await one.board.join(make_instance(1))
    await one.commit(ChangeSet(put_users={1: make_user(1)}))  # type: ignore[dict-item]
    await one.board.tell("a", 1, [(make_node(1), True)])
    async with one._begin(one._engine) as connection:
        backend = await connection.scalar(text("SELECT pg_backend_pid()"))
    os.kill(int(str(backend)), signal.SIGKILL)
    # A moment later the database notices, ends all connections and recovers.
    said: list[LiveNode] | None = None
    async with asyncio.timeout(20):
        while said != []:
            with suppress(UnavailableError):
                said = await two.board.told([("a", -1)])
            await asyncio.sleep(0.02)
    assert await two.board.beat("i1") is True
    assert set((await two.load()).users) == {1}
    await one.board.tell("a", 2, [(make_node(1), True)])
    assert len(await two.board.told([("a", 1)])) == 1


async def test_a_database_that_is_away_is_said(shared_url: URL, cluster: Cluster) -> None:
    store = await Store.open(shared_url)
    cluster.run(f'ALTER DATABASE "{shared_url.database}" WITH ALLOW_CONNECTIONS false')
    await store.close()
    for asked in (store.board.instances(), store.board.beat("i1"), store.board.told([("a", 1)])):
        with pytest.raises(UnavailableError):
            await asked
    await store.close()
