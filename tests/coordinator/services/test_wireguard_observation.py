"""What gateways see: connected, gone, moved, strange; stored now and then, said once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from coordinator.tailnet.errors import UnavailableError
from coordinator.wireguard.model import Gateway, Peer
from coordinator.wireguard.wire import Noticed, Report, SeenPeer
from tests.support.wireguard_bench import ACTOR, ADMIN, Bench, wireguard_bench
from tests.support.wireguard_records import public_key


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with wireguard_bench() as made:
        await made.gateway()
        yield made


def seen(bench: Bench, number: int = 1, **more: Any) -> SeenPeer:
    values = {
        "public_key": public_key(number),
        "interface": "wgcoord0",
        "endpoint": "192.0.2.7:4000",
        "latest_handshake": bench.clock(),
        "received_bytes": 100,
        "sent_bytes": 50,
    }
    return SeenPeer(**{**values, **more})


async def report(bench: Bench, *peers: SeenPeer, events: tuple[Noticed, ...] = (), **more: Any) -> None:
    bench.wished()
    gateway: Gateway = bench.wireguard.book.gateways[1]
    wish = bench.wireguard.wishes.current(1)
    assert wish is not None
    values = {
        "version": wish.version,
        "now": bench.clock(),
        "public_keys": {},
        "peers": peers,
        "events": events,
    }
    await bench.wireguard.observation.take(gateway, Report(**{**values, **more}), actor=ACTOR)


def verbs(bench: Bench) -> list[str]:
    return [entry.action for entry in bench.audited("wgpeer.") if entry.action != "wgpeer.create"]


def alerts(bench: Bench) -> list[tuple[str, str]]:
    return [(str(entry.after["kind"]), entry.target) for entry in bench.audited("wireguard.alert")]


async def test_connected_moved_gone(bench: Bench) -> None:
    peer: Peer = await bench.peer(1)
    await report(bench, seen(bench, latest_handshake=None, endpoint=""))
    assert verbs(bench) == []
    await report(bench, seen(bench))
    await report(bench, seen(bench))
    assert verbs(bench) == ["wgpeer.connected"]
    bench.turn(seconds=60)
    await report(bench, seen(bench, endpoint="198.51.100.1:9", received_bytes=900))
    assert verbs(bench)[1:] == ["wgpeer.moved"]
    found = bench.wireguard.observation.of_peer(peer)
    assert found is not None
    assert (found.connected, found.endpoint, found.received_bytes) == (True, "198.51.100.1:9", 900)
    bench.turn(seconds=180)
    await bench.wireguard.observation.look()
    await bench.wireguard.observation.look()
    assert verbs(bench)[2:] == ["wgpeer.disconnected"]
    await report(bench, seen(bench))
    assert verbs(bench)[3:] == ["wgpeer.connected"]
    assert alerts(bench) == [("silent-gateway", "wggateway:1")]


async def test_a_gateway_has_nothing_to_say_of_the_peers_of_others(bench: Bench) -> None:
    await bench.gateway("other", "10.97.0.0/24")
    peer = await bench.peer(1, gateway="other")
    await report(bench, seen(bench))
    assert bench.wireguard.observation.of_peer(peer) is None
    assert (verbs(bench), alerts(bench)) == ([], [])


async def test_a_key_that_came_back_is_the_living_peer(bench: Bench) -> None:
    first = await bench.peer(1)
    second = await bench.peer(2)
    await bench.wireguard.peers.revoke(first.id, ADMIN)
    await bench.wireguard.peers.rotate(second.id, public_key(1), timedelta(), ADMIN)
    await report(bench, seen(bench))
    assert [entry.target for entry in bench.audited("wgpeer.connected")] == [second.key]


async def test_what_was_seen_is_stored_and_forgotten_with_its_peer(bench: Bench) -> None:
    peer = await bench.peer(1)
    await report(bench, seen(bench))
    await bench.wireguard.observation.save()
    assert bench.wireguard.book.seen[public_key(1)].endpoint == "192.0.2.7:4000"
    commits = len(bench.store.commits)
    await bench.wireguard.observation.save()
    assert len(bench.store.commits) == commits
    await bench.wireguard.peers.revoke(peer.id, ADMIN)
    bench.turn(days=91)
    await bench.wireguard.keeper.tick()
    await bench.wireguard.observation.save()
    assert bench.wireguard.book.seen == {}
    assert bench.wireguard.book.peers == {}


async def test_events_are_said_once_although_they_are_repeated(bench: Bench) -> None:
    event = Noticed(kind="unknown-peer", at=bench.clock(), detail="removed", public_key=public_key("x"))
    bench.store.broken = True
    with pytest.raises(UnavailableError):
        await report(bench, events=(event,))
    bench.store.broken = False
    await report(bench, events=(event,))
    await report(bench, events=(event,))
    assert alerts(bench) == [("unknown-peer", "wggateway:1")]
    assert bench.audited("wireguard.alert")[0].after["public_key"] == public_key("x")


async def test_clocks_and_drift(bench: Bench) -> None:
    await report(bench, now=bench.clock() + timedelta(seconds=30))
    await report(bench, now=bench.clock() + timedelta(seconds=30))
    assert alerts(bench) == [("clock", "wggateway:1")]
    await report(bench)
    for _ in range(4):
        await report(bench, version="older")
        bench.turn(seconds=31)
    assert alerts(bench)[1:] == [("drift", "wggateway:1")]
    await report(bench)
    assert bench.wireguard.observation.gateway(1).drifting_since is None


async def test_a_gateway_with_peers_that_falls_silent(bench: Bench) -> None:
    await bench.wireguard.observation.look()
    bench.turn(minutes=3)
    await bench.wireguard.observation.look()
    assert alerts(bench) == []
    await bench.peer(1)
    bench.wished()
    await bench.wireguard.observation.look()
    await bench.wireguard.observation.look()
    assert alerts(bench) == [("silent-gateway", "wggateway:1")]


async def test_a_handshake_outside_of_its_window(bench: Bench) -> None:
    peer = await bench.peer(1)
    await report(bench, seen(bench))
    await bench.wireguard.peers.revoke(peer.id, ADMIN)
    bench.wished()
    await report(bench, seen(bench))
    assert alerts(bench) == []
    bench.turn(seconds=20)
    await report(bench, seen(bench))
    await report(bench, seen(bench, latest_handshake=bench.clock()))
    assert alerts(bench) == [("outside-window", peer.key)]


async def test_strangers_and_nonsense_in_reports(bench: Bench) -> None:
    await bench.peer(1)
    await report(
        bench,
        seen(bench, 77),
        seen(bench, received_bytes=-5, sent_bytes=1 << 70, endpoint="e" * 1000),
        agent="a" * 1000,
    )
    found = bench.wireguard.observation.seen(public_key(1))
    assert found is not None
    assert (found.received_bytes, found.sent_bytes, len(found.endpoint)) == (0, (1 << 63) - 1, 100)
    assert bench.wireguard.observation.seen(public_key(77)) is None
    await bench.wireguard.observation.save()
