"""Gateways: created, rotated and removed; their pools, keys and tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from coordinator.services.wireguard_gateways import GatewayWanted, base_port, interfaces_of, pools_from
from coordinator.tailnet.errors import ConflictError, CoordinatorError, InvalidError, NotFoundError
from tests.support.wireguard_bench import ACTOR, Bench, wireguard_bench
from tests.support.wireguard_records import public_key


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with wireguard_bench() as made:
        yield made


def wanted(**more: Any) -> GatewayWanted:
    pools = pools_from({"": ["10.90.0.0/24"], "group:ops": ["10.91.0.0/24", "fd00:91::/64"]})
    return GatewayWanted(**{"name": "gw", "host": "vpn.example.com", "pools": pools, **more})


async def test_a_gateway_and_its_token(bench: Bench) -> None:
    gateways = bench.wireguard.gateways
    gateway, token = await gateways.create(wanted(), actor=ACTOR)
    assert gateway.addresses == ("10.90.0.1", "10.91.0.1", "fd00:91::1")
    assert gateways.all() == [gateway]
    assert gateways.authenticate(token) == gateway
    for wrong in (token[:-1] + "x", "", "wggateway-", token.replace("wggateway", "wgenrol"), "é" * 87):
        assert gateways.authenticate(wrong) is None
    assert token not in str(bench.audited()[0])
    changed, second = await gateways.rotate_token(gateway.id, actor=ACTOR)
    assert gateways.authenticate(token) is None
    assert gateways.authenticate(second) == changed


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"name": "A"}, "gateway name"),
        ({"host": "a b"}, "not a host name"),
        ({"host": "x\nEndpoint = evil"}, "not a host name"),
        ({"pools": ()}, "needs a pool"),
        ({"listen_port": 0}, "listen port"),
        ({"mtu": 100}, "MTU"),
        ({"keepalive": 99999}, "keepalive"),
        ({"dns": ("not an address",)}, "name server"),
        ({"pools": pools_from({"": ["100.64.5.0/24"]})}, "addresses of the tailnet"),
    ],
)
async def test_values_that_make_no_sense(bench: Bench, more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        await bench.wireguard.gateways.create(wanted(**more), actor=ACTOR)
    assert bench.wireguard.gateways.all() == []


async def test_pools_are_shared_or_apart(bench: Bench) -> None:
    await bench.gateway("one", "10.90.0.0/24")
    assert (await bench.gateway("two", "10.90.0.0/24")).addresses == ("10.90.0.2",)
    with pytest.raises(ConflictError, match="overlaps"):
        await bench.gateway("three", "10.90.0.0/16")
    with pytest.raises(ConflictError, match="already"):
        await bench.gateway("one", "10.92.0.0/24")
    with pytest.raises(InvalidError, match="not a network"):
        pools_from({"": ["x"]})


async def test_two_keys_side_by_side(bench: Bench) -> None:
    gateways = bench.wireguard.gateways
    gateway = await bench.gateway(reported=False)
    with pytest.raises(ConflictError, match="has not reported"):
        await gateways.rotate_key(gateway.id, timedelta(days=1), actor=ACTOR)
    await gateways.reported(gateway, {"key-1": public_key("a"), "other": "x"}, actor=ACTOR)
    changed = await gateways.rotate_key(gateway.id, timedelta(days=1), actor=ACTOR)
    old, new = changed.keys
    assert (old.interface, old.listen_port, new.interface, new.listen_port) == (
        "wgcoord0",
        51820,
        "wgcoord1",
        51821,
    )
    assert base_port(changed) == 51820
    assert changed.current_key() == old
    with pytest.raises(ConflictError, match="is being rotated"):
        await gateways.rotate_key(gateway.id, timedelta(days=1), actor=ACTOR)
    await gateways.reported(changed, {"key-1": public_key("a"), "key-2": public_key("b")}, actor=ACTOR)
    assert bench.wireguard.book.gateways[gateway.id].current_key().public_key == public_key("b")
    assert not await gateways.reported(
        bench.wireguard.book.gateways[gateway.id], {"key-2": public_key("b")}, actor=ACTOR
    )
    bench.wished()
    wish = bench.wireguard.wishes.current(gateway.id)
    assert wish is not None
    assert [each.name for each in wish.interfaces] == ["wgcoord0", "wgcoord1"]
    bench.turn(days=1)
    await bench.wireguard.keeper.tick()
    (left,) = bench.wireguard.book.gateways[gateway.id].keys
    assert left.key_id == "key-2"
    again = await gateways.rotate_key(gateway.id, timedelta(), actor=ACTOR)
    assert (again.keys[-1].interface, again.keys[-1].listen_port, again.keys[-1].key_id) == (
        "wgcoord0",
        51820,
        "key-3",
    )


async def test_keys_that_are_none_or_somebodys(bench: Bench) -> None:
    gateway = await bench.gateway()
    await bench.peer(1)
    both = {"key-1": public_key("a"), "key-2": public_key("a")}
    with pytest.raises(ConflictError, match="under two names"):
        rotating = await bench.gateway("gw2", "10.91.0.0/24")
        rotating = await bench.wireguard.gateways.rotate_key(rotating.id, timedelta(days=1), actor=ACTOR)
        await bench.wireguard.gateways.reported(rotating, both, actor=ACTOR)
    for text, error in (("x", InvalidError), (public_key(1), ConflictError)):
        with pytest.raises(error):
            await bench.wireguard.gateways.reported(gateway, {"key-1": text}, actor=ACTOR)
    assert bench.wireguard.book.gateways[gateway.id] == gateway


async def test_a_schedule_of_rotations(bench: Bench) -> None:
    gateway = await bench.gateway(rotate_days=30)
    await bench.wireguard.keeper.tick()
    assert len(bench.wireguard.book.gateways[gateway.id].keys) == 1
    bench.turn(days=30)
    await bench.wireguard.keeper.tick()
    await bench.wireguard.keeper.tick()
    assert len(bench.wireguard.book.gateways[gateway.id].keys) == 2
    assert bench.audited("wggateway.rotate_key")[0].reason == "every 30 days"


async def test_a_gateway_goes_with_its_peers_if_that_is_wanted(bench: Bench) -> None:
    gateway = await bench.gateway()
    peer = await bench.peer(1)
    with pytest.raises(ConflictError, match="has 1 peers"):
        await bench.wireguard.gateways.delete(gateway.id, force=False, actor=ACTOR)
    (ended,) = await bench.wireguard.gateways.delete(gateway.id, force=True, actor=ACTOR)
    assert ended.id == peer.id
    assert bench.wireguard.book.peers[peer.id].end_reason == "gateway deleted"
    assert bench.wireguard.wishes.current(gateway.id) is not None
    bench.wished()
    assert bench.wireguard.wishes.current(gateway.id) is None
    with pytest.raises(NotFoundError):
        await bench.wireguard.gateways.delete(gateway.id, force=True, actor=ACTOR)


async def test_a_failed_command_takes_no_address(bench: Bench) -> None:
    await bench.gateway("one", "10.90.0.0/24")
    with pytest.raises(CoordinatorError):
        await bench.gateway("two", "10.90.0.0/24", "10.90.0.0/16")
    assert (await bench.gateway("three", "10.90.0.0/24")).addresses == ("10.90.0.2",)


async def test_no_two_gateways_name_their_interfaces_alike(bench: Bench) -> None:
    await bench.gateway()
    other = await bench.gateway("other", "10.97.0.0/24")
    changed = await bench.wireguard.gateways.rotate_key(other.id, timedelta(), actor=ACTOR)
    assert [key.interface for key in changed.keys] == ["wgcoord2", "wgcoord3"]
    assert [key.listen_port for key in changed.keys] == [51820, 51821]
    assert base_port(changed) == 51820
    assert interfaces_of(99_999) == ("wgcoord199996", "wgcoord199997")
