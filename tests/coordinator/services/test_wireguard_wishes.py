"""Waiting for wishes: woken by changes and by time, and let go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.support.wireguard_bench import ADMIN, Bench, wireguard_bench
from tests.support.wireguard_records import public_key


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with wireguard_bench() as made:
        await made.gateway()
        yield made


def version(bench: Bench) -> str:
    bench.wished()
    wish = bench.wireguard.wishes.current(1)
    assert wish is not None
    return wish.version


async def test_news_come_at_once_and_no_news_in_time(bench: Bench) -> None:
    have = version(bench)
    assert await bench.wireguard.wishes.wait(1, have, 0.01) is None
    assert await bench.wireguard.wishes.wait(1, "other", 5) is not None
    assert await bench.wireguard.wishes.wait(77, "", 5) is None
    waiting = asyncio.create_task(bench.wireguard.wishes.wait(1, have, 5))
    await asyncio.sleep(0.01)
    began = time.monotonic()
    await bench.peer(1)
    found = await waiting
    assert time.monotonic() - began < 0.1
    assert found is not None
    assert [peer.public_key for peer in found.peers] == [public_key(1)]


async def test_time_alone_is_news(bench: Bench) -> None:
    await bench.peer(1, standing=False, until=bench.clock() + timedelta(hours=1))
    waiting = asyncio.create_task(bench.wireguard.wishes.wait(1, version(bench), 5))
    await asyncio.sleep(0.01)
    bench.turn(hours=1)
    found = await asyncio.wait_for(waiting, 1)
    assert found is not None
    assert found.peers == ()


async def test_a_gateway_hears_only_of_itself(bench: Bench) -> None:
    await bench.gateway("gw2", "10.92.0.0/24")
    have = version(bench)
    await bench.peer(1, gateway="gw2")
    assert version(bench) == have
    assert bench.wished(2) == [public_key(1)]
    assert bench.wireguard.wishes.is_admitted(1)
    await bench.wireguard.peers.revoke(1, ADMIN)
    bench.wished()
    assert not bench.wireguard.wishes.is_admitted(1)
    assert bench.wireguard.wishes.left_at(1) == bench.clock()


async def test_the_end_lets_everybody_go(bench: Bench) -> None:
    waiting = asyncio.create_task(bench.wireguard.wishes.wait(1, version(bench), 30))
    await asyncio.sleep(0.01)
    bench.wireguard.wishes.let_go()
    assert await asyncio.wait_for(waiting, 1) is None


async def test_a_thousand_peers(bench: Bench) -> None:
    await bench.gateway("big", "10.100.0.0/16")
    await asyncio.gather(*(bench.peer(number, gateway="big") for number in range(1000)))
    assert len(bench.wished(2)) == 1000
    await bench.peer("one more", gateway="big")
    began = time.monotonic()
    assert len(bench.wished(2)) == 1001
    assert time.monotonic() - began < 0.25
