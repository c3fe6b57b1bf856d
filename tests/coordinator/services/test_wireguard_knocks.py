"""Knocks without a window: one alert for each episode, and not many for unknown keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from coordinator.services import wireguard_knocks as module
from coordinator.services.wireguard_knocks import MAX_STRANGERS
from coordinator.tailnet.errors import UnavailableError
from coordinator.wireguard.model import Peer
from coordinator.wireguard.wire import Knocked, Report, SeenPeer
from tests.support.wireguard_bench import ACTOR, ADA, ADMIN, BOB, Bench, wireguard_bench
from tests.support.wireguard_records import public_key


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with wireguard_bench() as made:
        await made.gateway()
        yield made


def knock(bench: Bench, number: int | str = 1, *, ago: float = 0, count: int = 1) -> Knocked:
    at = datetime.fromtimestamp(bench.clock().timestamp() - ago, bench.clock().tzinfo)
    return Knocked(public_key=public_key(number), endpoint="192.0.2.7:4000", at=at, count=count)


async def report(bench: Bench, *knocks: Knocked, peers: tuple[SeenPeer, ...] = ()) -> None:
    bench.wished()
    wish = bench.wireguard.wishes.current(1)
    assert wish is not None
    made = Report(version=wish.version, now=bench.clock(), public_keys={}, knocks=knocks, peers=peers)
    await bench.wireguard.observation.take(bench.wireguard.book.gateways[1], made, actor=ACTOR)


def alerts(bench: Bench, kind: str = "") -> list[tuple[str, str]]:
    found = [(str(entry.after["kind"]), entry.target) for entry in bench.audited("wireguard.alert")]
    return [each for each in found if each[0].startswith(kind)]


async def waiting(bench: Bench) -> Peer:
    """A peer without a window."""
    peer = await bench.peer(1, profile="prod", user_id=ADA.id, reason="disk full")
    assert bench.wished() == []
    return peer


async def test_one_alert_for_a_night(bench: Bench) -> None:
    peer = await waiting(bench)
    for _ in range(8 * 60):
        await report(bench, knock(bench, count=10))
        bench.turn(minutes=1)
    assert alerts(bench) == [("outside-window", peer.key)]
    entry = bench.audited("wireguard.alert")[0]
    assert entry.after["public_key"] == public_key(1)
    assert "192.0.2.7:4000" in str(entry.after["detail"])
    found = bench.wireguard.observation.knocks.of_peer(peer, bench.clock())
    assert found is not None
    assert (found.count, found.endpoint) == (4800, "192.0.2.7:4000")
    assert (bench.clock() - found.since).total_seconds() == 8 * 3600
    # After an hour of silence it is something else.
    bench.turn(minutes=59)
    assert bench.wireguard.observation.knocks.of_peer(peer, bench.clock()) is None
    await report(bench, knock(bench))
    assert len(alerts(bench)) == 2


async def test_a_window_ends_an_episode(bench: Bench) -> None:
    peer = await bench.peer(1)
    bench.turn(seconds=60)
    await report(bench, knock(bench))
    assert alerts(bench) == [], "it may come in by now"
    await bench.wireguard.peers.revoke(peer.id, ADMIN)
    bench.turn(seconds=4)
    await report(bench, knock(bench))
    assert alerts(bench) == [], "it can hardly know yet"
    bench.turn(seconds=30)
    await report(bench, knock(bench))
    await report(bench, knock(bench))
    assert alerts(bench) == [("outside-window", peer.key)]


async def test_the_end_of_a_window_begins_another(bench: Bench) -> None:
    peer = await waiting(bench)
    await report(bench, knock(bench))
    assert alerts(bench) == [("outside-window", peer.key)]
    await bench.access.approve(1, by=BOB, actor=ACTOR)
    assert bench.wished() == [public_key(1)]
    assert bench.wireguard.observation.knocks.of_peer(peer, bench.clock()) is None
    await bench.access.revoke(1, by=BOB, actor=ACTOR)
    assert bench.wished() == []
    bench.turn(minutes=2)
    await report(bench, knock(bench))
    await report(bench, knock(bench))
    assert alerts(bench) == [("outside-window", peer.key)] * 2


async def test_an_unknown_key(bench: Bench) -> None:
    await report(bench, knock(bench, "x"), knock(bench, "x"))
    await report(bench, knock(bench, "x"))
    assert alerts(bench) == [("unknown-key", "wggateway:1")]
    entry = bench.audited("wireguard.alert")[0]
    assert entry.after["public_key"] == public_key("x")
    assert "192.0.2.7:4000" in str(entry.after["detail"])


async def test_made_up_keys_do_not_fill_the_log(bench: Bench) -> None:
    for number in range(30):
        await report(bench, *(knock(bench, f"{number}/{each}") for each in range(3)))
    assert len(alerts(bench, "unknown-key")) == MAX_STRANGERS + 1
    assert "more than 10" in str(bench.audited("wireguard.alert")[-1].after["detail"])
    bench.turn(hours=1)
    await report(bench, knock(bench, "later"))
    assert len(alerts(bench, "unknown-key")) == MAX_STRANGERS + 2


async def test_only_so_many_are_remembered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    monkeypatch.setattr(module, "MAX_KNOCKS", 3)
    await report(bench, *(knock(bench, f"s{each}") for each in range(5)))
    assert len(alerts(bench)) == 3
    await report(bench, knock(bench, "s2"))
    assert len(alerts(bench)) == 3
    await report(bench, knock(bench, "s0"))
    assert len(alerts(bench)) == 4


async def test_an_alert_that_cannot_be_stored_is_raised_with_the_next_report(bench: Bench) -> None:
    peer = await waiting(bench)
    bench.store.broken = True
    with pytest.raises(UnavailableError):
        await report(bench, knock(bench))
    bench.store.broken = False
    assert bench.wireguard.observation.knocks.of_peer(peer, bench.clock()) is None
    await report(bench, knock(bench))
    assert alerts(bench) == [("outside-window", peer.key)]


async def test_a_handshake_and_a_knock_are_one_episode(bench: Bench) -> None:
    peer = await waiting(bench)
    handshake = SeenPeer(
        public_key=public_key(1),
        interface="wgcoord0",
        endpoint="192.0.2.7:4000",
        latest_handshake=bench.clock(),
    )
    await report(bench, knock(bench), peers=(handshake,))
    bench.turn(minutes=1)
    await report(bench, knock(bench))
    assert alerts(bench) == [("outside-window", peer.key)]


async def test_nonsense_is_left_out(bench: Bench) -> None:
    naive = Knocked(public_key=public_key("y"), endpoint="", at=bench.clock().replace(tzinfo=None))
    await report(bench, Knocked(public_key="x" * 9, endpoint="", at=bench.clock()), naive)
    assert alerts(bench) == []
    future = Knocked(
        public_key=public_key("z"), endpoint="e" * 999, at=bench.clock().replace(year=2040), count=-5
    )
    await report(bench, future)
    (entry,) = bench.audited("wireguard.alert")
    assert len(str(entry.after["detail"])) < 300
