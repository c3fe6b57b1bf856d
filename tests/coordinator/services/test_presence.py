"""Nodes that come to one instance and go to another: all instances say the same of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest

from coordinator.services import presence as services_presence
from coordinator.services.map_sessions import MapSessions
from coordinator.services.presence import Presence
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.errors import UnavailableError
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.state import ChangeSet
from tests.support.boards import MemoryBoard
from tests.support.builders import FakeClock, make_node, make_user
from tests.support.tailnets import FakeStream, MemoryStore, make_tailnet

NODE = make_node(1, online=False)


@dataclass
class One:
    """An instance, as far as presence goes."""

    name: str
    tailnet: Tailnet
    sessions: MapSessions
    presence: Presence

    def open(self, node_id: int = 1) -> FakeStream:
        stream = FakeStream()
        record = self.tailnet.snapshot.record(NodeID(node_id))
        assert record is not None
        self.sessions.open(record, stream, pinning=True, keepalives=False)
        return stream

    def node(self) -> Node:
        (node,) = self.tailnet.snapshot.nodes()
        return node

    def homes(self) -> bool:
        return self.presence.elsewhere(NODE.id)


@dataclass
class Crowd:
    """Instances on one board; the notifications of PostgreSQL are `nudge`."""

    board: MemoryBoard
    store: MemoryStore
    clock: FakeClock
    stack: AsyncExitStack
    all: list[One] = field(default_factory=list)

    async def add(self, name: str, *, start: bool = True) -> One:
        tailnet, _, _ = make_tailnet(store=self.store, clock=self.clock)
        sessions = MapSessions(tailnet, window=0.001, offline_grace=0.03, restart_grace=0.05)
        one = One(name, tailnet, sessions, Presence(tailnet, sessions, self.board, name))
        tailnet.start()
        self.stack.push_async_callback(tailnet.close)
        self.all.append(one)
        self.meet()
        if start:
            await one.presence.start()
            self.stack.push_async_callback(one.presence.close)
        sessions.start()
        self.stack.push_async_callback(sessions.close)
        return one

    def meet(self) -> None:
        for one in self.all:
            one.presence.follow([other.name for other in self.all if other is not one])

    async def until(self, true: Callable[[], bool], within: float = 1.0) -> None:
        """Nudge everybody, as the database does, until something is so."""
        async with asyncio.timeout(within):
            while not true():
                for one in self.all:
                    one.presence.nudge()
                await asyncio.sleep(0.002)

    async def quiet(self) -> None:
        """Longer than the grace for streams that ended."""
        for _ in range(30):
            for one in self.all:
                one.presence.nudge()
            await asyncio.sleep(0.003)

    def online(self) -> list[bool]:
        return [one.node().online for one in self.all]


@pytest.fixture
async def crowd(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crowd]:
    monkeypatch.setattr(services_presence, "GATHER_SECONDS", 0.002)
    monkeypatch.setattr(services_presence, "RETRY_SECONDS", 0.005)
    monkeypatch.setattr(services_presence, "LOST_GRACE", 0.05)
    store, user = MemoryStore(), make_user(1)
    store.commits.append(
        ChangeSet(put_users={user.id: user}, put_nodes={NODE.id: NODE}, counters={"nodes": 1})
    )
    async with AsyncExitStack() as stack:
        yield Crowd(MemoryBoard(), store, FakeClock(), stack)


async def test_all_know_that_a_node_has_come_and_what_it_says(crowd: Crowd) -> None:
    a, b = await crowd.add("a"), await crowd.add("b")
    a.open()
    a.tailnet.update_volatile(NODE.id, endpoints=("192.0.2.9:1",), home_derp=7)
    await crowd.until(lambda: b.node().online and b.node().endpoints == ("192.0.2.9:1",))
    assert (b.node().home_derp, b.homes(), a.homes()) == (7, True, False)


async def test_all_know_that_a_node_has_gone(crowd: Crowd) -> None:
    a, b = await crowd.add("a"), await crowd.add("b")
    stream = a.open()
    await crowd.until(b.homes)
    crowd.clock.forward(minutes=3)
    stream.hang_up()
    await crowd.until(lambda: crowd.online() == [False, False])
    assert b.node().last_seen == a.node().last_seen == crowd.clock.now
    assert not b.homes()


@pytest.mark.parametrize("told_in_between", [True, False])
async def test_a_node_moves_and_comes_back(crowd: Crowd, told_in_between: bool) -> None:
    a, b, c = await crowd.add("a"), await crowd.add("b"), await crowd.add("c")
    first = a.open()
    await crowd.until(lambda: b.homes() and c.homes())
    second = b.open()
    if told_in_between:
        await crowd.until(a.homes)
        assert first.was_reset, "the former stream belongs to a connection the client left"
    first.hang_up()
    second.hang_up()
    third = a.open()
    await crowd.until(lambda: b.homes() and not a.homes())
    await crowd.quiet()
    assert not third.was_reset, "older words of others do not count"
    assert (crowd.online(), [one.homes() for one in crowd.all]) == ([True] * 3, [False, True, True])


async def test_an_older_word_that_is_read_late_ends_no_stream(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before the node came here is looked at again after it was said."""
    a, b = await crowd.add("a"), await crowd.add("b")
    former = b.open()
    told, reading, go_on = crowd.board.told, asyncio.Event(), asyncio.Event()

    async def slow(after: list[tuple[str, int]]) -> object:
        said = await told(after)
        if said and said[0].instance == "b" and not go_on.is_set():
            reading.set()
            await go_on.wait()
        return said

    monkeypatch.setattr(crowd.board, "told", slow)
    await crowd.until(reading.is_set)
    former.hang_up()
    stream = a.open()
    await crowd.until(lambda: crowd.board.live[NODE.id].instance == "a")
    go_on.set()
    await crowd.quiet()
    assert not stream.was_reset
    assert ([one.homes() for one in crowd.all], crowd.online()) == ([False, True], [True, True])


async def test_two_that_hold_a_node_at_once_agree_on_one(crowd: Crowd) -> None:
    a, b, c = await crowd.add("a"), await crowd.add("b"), await crowd.add("c")
    streams = [a.open(), b.open()]
    await crowd.until(lambda: a.homes() != b.homes())
    await crowd.quiet()
    assert [stream.was_reset for stream in streams].count(True) == 1
    assert crowd.online() == [True] * 3
    assert c.homes()


async def test_its_own_timer_does_not_end_what_is_elsewhere(crowd: Crowd) -> None:
    a, b = await crowd.add("a"), await crowd.add("b")
    a.open().hang_up()
    b.open()
    await crowd.until(a.homes)
    await crowd.quiet()
    assert crowd.online() == [True, True]


async def test_a_late_word_of_where_it_was_before_is_put_right(crowd: Crowd) -> None:
    """Its timer ran out at the former instance before that one heard of the move."""
    a, b, c = await crowd.add("a"), await crowd.add("b"), await crowd.add("c")
    a.open()
    await crowd.until(lambda: b.homes() and c.homes())
    b.open()
    await crowd.until(lambda: a.homes() and crowd.board.live[NODE.id].instance == "b")
    gone = make_node(1, online=False, home_derp=3)
    await crowd.board.tell("a", 100, [(gone, False)])
    await crowd.until(lambda: crowd.board.live[NODE.id].instance == "b")
    assert crowd.board.live[NODE.id].connected
    await crowd.quiet()
    assert crowd.online() == [True] * 3
    late = await crowd.add("d")
    assert (late.node().online, late.homes()) == (True, True)


async def test_what_another_hears_without_the_stream_is_taken_over(crowd: Crowd) -> None:
    """A client may post its endpoints to any instance."""
    a, b = await crowd.add("a"), await crowd.add("b")
    a.open()
    await crowd.until(b.homes)
    b.tailnet.update_volatile(NODE.id, endpoints=("198.51.100.1:2",))
    await crowd.until(lambda: a.node().endpoints == ("198.51.100.1:2",))
    await crowd.quiet()
    assert crowd.online() == [True, True]
    assert b.homes()


async def test_something_is_said_of_a_node_that_is_not_known_yet(crowd: Crowd) -> None:
    a, b = await crowd.add("a"), await crowd.add("b")
    new = make_node(2, online=False)

    def join(directory):  # type: ignore[no-untyped-def]
        directory.put_node(new)

    await a.tailnet.execute(join)
    a.open(2)
    a.tailnet.update_volatile(new.id, home_derp=9)
    # By being heard of it is fetched, and then it is as was said.
    await crowd.until(lambda: len(b.tailnet.snapshot.nodes()) == 2 and b.tailnet.snapshot.nodes()[1].online)
    assert b.tailnet.snapshot.nodes()[1].home_derp == 9
    assert b.presence.elsewhere(new.id)


async def test_what_is_said_of_a_deleted_node_is_forgotten(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await crowd.add("a"), await crowd.add("b")
    new = make_node(2)
    await a.tailnet.execute(lambda directory: (directory.put_node(new), directory.delete_node(NODE.id))[0])
    await b.tailnet.catch_up()
    nudges: list[int] = []
    monkeypatch.setattr(b.tailnet, "nudge", lambda: nudges.append(1))
    await crowd.board.tell("a", 50, [(NODE, True)])
    await crowd.quiet()
    assert nudges == []


async def test_nodes_of_an_instance_that_is_gone_go_offline_or_come_back(crowd: Crowd) -> None:
    a, b = await crowd.add("a"), await crowd.add("b")
    c = await crowd.add("c")
    c.open()
    await crowd.until(lambda: a.homes() and b.homes())
    await c.presence.close()
    crowd.all.remove(c)
    crowd.meet()
    assert crowd.online() == [True, True], "most come back at once"
    await crowd.until(lambda: crowd.online() == [False, False])
    stream = b.open()
    await crowd.until(lambda: crowd.online() == [True, True])
    await crowd.quiet()
    assert not stream.was_reset


async def test_nodes_that_come_back_in_time_never_went_offline(crowd: Crowd) -> None:
    a, b, c = await crowd.add("a"), await crowd.add("b"), await crowd.add("c")
    c.open()
    await crowd.until(lambda: a.homes() and b.homes())
    await c.presence.close()
    crowd.all.remove(c)
    crowd.meet()
    b.open()
    seen: set[bool] = set()
    a.tailnet.on_change(lambda _: seen.add(a.node().online))
    await crowd.until(a.homes)
    await crowd.quiet()
    assert crowd.online() == [True, True]
    assert False not in seen


async def test_a_crash_of_the_database_empties_the_board(crowd: Crowd) -> None:
    a, b = await crowd.add("a"), await crowd.add("b")
    a.open()
    a.tailnet.update_volatile(NODE.id, home_derp=5)
    await crowd.until(b.homes)
    crowd.board.live.clear()
    for one in crowd.all:
        one.presence.repeat()
    await crowd.until(lambda: NODE.id in crowd.board.live)
    late = await crowd.add("late")
    assert (late.node().online, late.node().home_derp, late.homes()) == (True, 5, True)


async def test_a_board_that_is_away_is_asked_again(crowd: Crowd) -> None:
    a, b = await crowd.add("a"), await crowd.add("b")
    crowd.board.broken = True
    stream = a.open()
    await crowd.quiet()
    crowd.board.broken = False
    await crowd.until(lambda: b.node().online)
    assert not stream.was_reset
    crowd.board.broken = True
    with pytest.raises(UnavailableError):
        await crowd.add("c")
    crowd.all.pop()


async def test_a_node_that_nobody_holds_does_not_stay_online(crowd: Crowd) -> None:
    a, b = await crowd.add("a"), await crowd.add("b")
    await crowd.board.tell("a", 50, [(make_node(1, online=True), False)])
    await crowd.until(lambda: b.node().online)
    await crowd.until(lambda: crowd.online() == [False, False])
    assert not a.homes()
