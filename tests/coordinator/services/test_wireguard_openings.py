"""What is open for whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from coordinator.services.access_rules import Asked
from tests.support.wireguard_bench import ACTOR, ADA, Bench, wireguard_bench
from tests.support.wireguard_records import make_peer


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with wireguard_bench() as made:
        yield made


async def test_windows_of_one_person_add_up(bench: Bench) -> None:
    openings, hour = bench.wireguard.openings, timedelta(hours=1)
    first = await bench.access.request(Asked(profile="db", user=ADA, duration=2 * hour), actor=ACTOR)
    bench.turn(hours=1)
    await bench.access.request(Asked(profile="db", user=ADA, duration=hour / 2), actor=ACTOR)
    found = openings.open_now(bench.clock())
    opening = found.profiles[1, "db"]
    assert (opening.not_before, opening.not_after) == (first.opens_at, first.closes_at)
    assert len(found.requests) == 2
    assert openings.pending(1, "db", bench.clock()) is not None
    assert openings.pending(1, "prod", bench.clock()) is None
    assert not openings.over(first.id, bench.clock())
    assert openings.over(99, bench.clock())


async def test_a_window_for_one_machine_is_for_that_machine(bench: Bench) -> None:
    await bench.access.request(Asked(profile="db", user=ADA, node_id=1), actor=ACTOR)
    found = bench.wireguard.openings.open_now(bench.clock())
    assert found.profiles == {}
    assert found.requests == {}


async def test_states(bench: Bench) -> None:
    openings, now, hour = bench.wireguard.openings, bench.clock(), timedelta(hours=1)
    since = {"since": now - hour}
    for more, state in (
        (since, "active"),
        ({"since": now + hour}, "scheduled"),
        ({**since, "until": now}, "ended"),
        ({**since, "basis": "profile", "user_id": 1, "profile": "db"}, "waiting"),
        ({**since, "user_id": 99}, "waiting"),
        ({**since, "basis": "request", "access_id": 1}, "waiting"),
    ):
        assert openings.state(make_peer(**more), now) == state
    assert openings.state(make_peer(**since).ended(now, "x", "revoked"), now) == "ended"


async def test_the_earlier_end_counts(bench: Bench) -> None:
    now, hour = bench.clock(), timedelta(hours=1)
    await bench.access.request(Asked(profile="db", user=ADA, duration=2 * hour), actor=ACTOR)
    peer = make_peer(basis="profile", user_id=1, profile="db", since=now, until=now + hour)
    opening = bench.wireguard.openings.opening(peer, now, bench.wireguard.openings.open_now(now))
    assert opening is not None
    assert opening.not_after == now + hour
