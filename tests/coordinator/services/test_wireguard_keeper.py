"""What time does: ends, old keys, alerts, and what is forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from coordinator.services.wireguard_peer_records import PeerWanted, WireGuardCaller
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import UnavailableError
from tests.support.wireguard_bench import ACTOR, ADA, ADMIN, Bench, wireguard_bench
from tests.support.wireguard_records import public_key

ADAS = WireGuardCaller(actor=ACTOR, user=ADA)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with wireguard_bench() as made:
        await made.gateway()
        yield made


def end(bench: Bench, peer_id: int = 1) -> str | None:
    return bench.wireguard.book.peers[peer_id].end_reason


async def test_an_end_that_was_set(bench: Bench) -> None:
    await bench.peer(1, standing=False, until=bench.clock() + timedelta(hours=1))
    bench.wished()
    wish = bench.wireguard.wishes.current(1)
    assert wish is not None
    assert wish.peers[0].not_after == bench.clock() + timedelta(hours=1)
    bench.turn(hours=1)
    assert bench.wished() == []
    await bench.wireguard.keeper.tick()
    assert end(bench) == "expired"
    await bench.peer(1)


async def test_a_beginning_that_was_set(bench: Bench) -> None:
    await bench.peer(1, since=bench.clock() + timedelta(hours=1))
    assert bench.wished() == []
    bench.turn(hours=1)
    assert bench.wished() == [public_key(1)]


async def test_a_profile_nobody_opens_any_more(bench: Bench) -> None:
    await bench.wireguard.peers.provision(PeerWanted(public_key=public_key(1), profile="db"), ADAS)
    bench.turn(days=29)
    await bench.wireguard.keeper.tick()
    assert end(bench) is None
    bench.turn(days=2)
    await bench.wireguard.keeper.tick()
    assert end(bench) == "unused"


async def test_use_is_noted(bench: Bench) -> None:
    wanted = PeerWanted(public_key=public_key(1), profile="db", duration=timedelta(hours=8))
    await bench.wireguard.peers.provision(wanted, ADAS)
    bench.turn(hours=7)
    await bench.wireguard.keeper.tick()
    assert bench.wireguard.book.peers[1].last_open == bench.clock()
    assert bench.audited("change.unnamed") == []


async def test_a_user_who_is_deleted(bench: Bench) -> None:
    await bench.peer(1, user_id=2, service="")

    def delete(directory: Directory) -> None:
        directory.delete_user(ADA.id.__class__(2))

    await bench.tailnet.execute(delete)
    assert bench.wished() == []
    await bench.wireguard.keeper.tick()
    assert end(bench) == "user gone"


async def test_keys_nobody_uses_and_keys_that_are_old_are_said_once(bench: Bench) -> None:
    await bench.peer(1)
    for days in (29, 2, 1, 150, 1):
        bench.turn(days=days)
        await bench.wireguard.keeper.tick()
    kinds = [entry.after["kind"] for entry in bench.audited("wireguard.alert")]
    assert sorted(kind for kind in kinds if kind != "silent-gateway") == ["old-key", "stale-key"]
    await bench.wireguard.peers.rotate(1, public_key(2), timedelta(), ADMIN)
    await bench.wireguard.keeper.tick()
    assert len(bench.audited("wireguard.alert")) == len(kinds)


async def test_a_store_that_fails_is_tried_again(bench: Bench) -> None:
    await bench.peer(1, standing=False, until=bench.clock() + timedelta(hours=1))
    bench.turn(hours=1)
    bench.store.broken = True
    with pytest.raises(UnavailableError):
        await bench.wireguard.keeper.tick()
    assert bench.wished() == []
    bench.store.broken = False
    await bench.wireguard.keeper.tick()
    assert end(bench) == "expired"


async def test_hours_close_the_gateway_too(bench: Bench) -> None:
    wanted = PeerWanted(public_key=public_key(1), profile="prod", reason="r", duration=timedelta(hours=8))
    bench.turn(hours=5)
    await bench.wireguard.peers.provision(wanted, ADAS)
    await bench.access.approve(1, by=bench.tailnet.snapshot.users[ADA.id.__class__(2)], actor=ACTOR)
    bench.wished()
    wish = bench.wireguard.wishes.current(1)
    assert wish is not None
    end_of_day = bench.clock().replace(hour=18, minute=0)
    assert wish.peers[0].not_after == end_of_day
    bench.turn(hours=3)
    assert bench.wished() == []
