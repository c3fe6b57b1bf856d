"""Provisioning, rotating and revoking peers: idempotent, for the right people, and never half done."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from coordinator.services.access_rules import Asked
from coordinator.services.wireguard_peer_records import PeerWanted, WireGuardCaller
from coordinator.tailcfg.keys import node_key_from_bytes
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import (
    ConflictError,
    CoordinatorError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from tests.support.builders import make_node
from tests.support.wireguard_bench import ACTOR, ADA, ADMIN, BOB, Bench, policy_text, wireguard_bench
from tests.support.wireguard_records import public_key

ADAS = WireGuardCaller(actor=Actor(kind="api_key", name="k"), user=ADA)
BOBS = WireGuardCaller(actor=Actor(kind="api_key", name="b"), user=BOB)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with wireguard_bench() as made:
        await made.gateway()
        yield made


def db(number: int = 1, **more: Any) -> PeerWanted:
    return PeerWanted(public_key=public_key(number), profile="db", **more)


async def test_a_device_of_ones_own_for_an_open_profile(bench: Bench) -> None:
    peer, made = await bench.wireguard.peers.provision(db(name="adas-phone"), ADAS)
    assert made
    assert (peer.user_id, peer.basis, peer.name) == (1, "profile", "adas-phone")
    assert peer.addresses == ("10.90.0.2", "fd00:90::2")
    assert bench.wished() == [public_key(1)]
    (request,) = bench.access.newest_first()
    assert (request.profile, request.user_id) == ("db", 1)
    assert [entry.action for entry in bench.audited("wgpeer")] == ["wgpeer.create"]
    bench.turn(hours=2)
    assert bench.wished() == []
    assert bench.wireguard.openings.state(peer, bench.clock()) == "waiting"


async def test_the_same_question_has_the_same_answer(bench: Bench) -> None:
    first = await bench.wireguard.peers.provision(db(preshared=True), ADAS)
    again = await bench.wireguard.peers.provision(db(preshared=True), ADAS)
    assert again == (first[0], False)
    assert len(bench.access.requests) == 1
    both = await asyncio.gather(*(bench.wireguard.peers.provision(db(2), ADAS) for _ in range(5)))
    assert len({peer.id for peer, _ in both}) == 1
    assert [made for _, made in both].count(True) == 1
    for other in ({"name": "x"}, {"keepalive": 3}, {"user_id": 2}, {"standing": True, "reason": "r"}):
        with pytest.raises(ConflictError, match="with another"):
            await bench.wireguard.peers.provision(db(**{"user_id": 1, **other}), ADMIN)


async def test_a_window_that_has_closed_is_asked_for_again_with_the_same_key(bench: Bench) -> None:
    peer, _ = await bench.wireguard.peers.provision(db(), ADAS)
    bench.turn(hours=2)
    assert await bench.wireguard.peers.provision(db(), ADAS) == (peer, False)
    assert bench.wished() == []
    assert await bench.wireguard.peers.provision(db(reason="once more"), ADAS) == (peer, False)
    assert bench.wished() == [public_key(1)]
    bench.turn(hours=2)
    asked = Asked(profile="db", user=ADA)
    await bench.access.request(asked, actor=ACTOR)
    assert bench.wished() == [public_key(1)]


async def test_a_peer_of_one_request_lasts_as_long_as_that(bench: Bench) -> None:
    asked = Asked(profile="prod", user=ADA, reason="INC-1", plain=True)
    request = await bench.access.request(asked, actor=ACTOR)
    wanted = PeerWanted(public_key=public_key(1), access_id=request.id)
    with pytest.raises(ForbiddenError, match="somebody else's"):
        await bench.wireguard.peers.provision(wanted, BOBS)
    peer, _ = await bench.wireguard.peers.provision(wanted, ADAS)
    assert (peer.basis, peer.profile) == ("request", "prod")
    assert bench.wished() == []
    await bench.access.approve(request.id, by=BOB, actor=ACTOR)
    assert bench.wished() == [public_key(1)]
    await bench.access.revoke(request.id, by=None, actor=ACTOR)
    assert bench.wished() == []
    await bench.wireguard.keeper.tick()
    assert bench.wireguard.book.peers[peer.id].end_reason == "request ended"
    with pytest.raises(ConflictError, match="is over"):
        await bench.wireguard.peers.provision(replace(wanted, public_key=public_key(2)), ADAS)


async def test_what_people_may_not_say(bench: Bench) -> None:
    for more in (
        {"user_id": 2},
        {"service": "x"},
        {"standing": True},
        {"until": bench.clock() + timedelta(days=1)},
        {"addresses": ("10.90.0.9",)},
        {"team": "group:ops"},
        {"since": bench.clock() - timedelta(days=99)},
    ):
        with pytest.raises(ForbiddenError, match="only administrators"):
            await bench.wireguard.peers.provision(db(**more), ADAS)
    with pytest.raises(ForbiddenError, match="may not ask"):
        await bench.wireguard.peers.provision(db(), BOBS)
    with pytest.raises(ForbiddenError, match="srcPosture"):
        await bench.wireguard.peers.provision(replace(db(), profile="managed"), ADAS)
    with pytest.raises(InvalidError, match="gre"):
        await bench.wireguard.peers.provision(replace(db(), profile="tunnel"), ADAS)
    with pytest.raises(NotFoundError, match="did you mean"):
        await bench.wireguard.peers.provision(replace(db(), profile="pro"), ADAS)
    assert bench.wireguard.book.peers == {}
    assert bench.access.requests == {}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"public_key": "x"}, "publicKey"),
        ({"standing": True, "profile": ""}, "needs a reason"),
        ({"standing": True, "user_id": 1, "service": "lab", "reason": "r"}, "not both"),
        ({"profile": ""}, "profile"),
        ({"user_id": None}, "whose device"),
        ({"name": "A B"}, "peer name"),
        ({"gateway": "other"}, "does not exist; there are: gw"),
        ({"team": "group:none"}, "no pool of team"),
        ({"addresses": ("10.1.1.1",)}, "in none of the pool"),
        ({"addresses": ("10.90.0.255",)}, "cannot be that of a host"),
        ({"addresses": ("x",)}, "not an address"),
        ({"addresses": ("10.90.0.1",)}, "in use"),
        ({"access_id": 77}, "does not exist"),
    ],
)
async def test_wishes_that_make_no_sense(bench: Bench, more: dict[str, Any], said: str) -> None:
    with pytest.raises(CoordinatorError, match=said):
        await bench.wireguard.peers.provision(db() if False else replace(db(user_id=1), **more), ADMIN)
    assert bench.wireguard.book.peers == {}
    assert bench.access.requests == {}


async def test_a_key_is_used_once_in_the_world(bench: Bench) -> None:
    await bench.peer(1)
    node_key = node_key_from_bytes(b64decode(public_key("node")))
    await bench.tailnet.execute(
        lambda directory: directory.put_node(make_node(5, user_id=ADA.id, node_key=node_key))
    )
    for number in (1, "node", "gw key-1"):
        with pytest.raises(ConflictError, match=r"in use elsewhere|with another"):
            await bench.peer(number, name="second")
    with pytest.raises(ConflictError, match="in use elsewhere"):
        await bench.wireguard.peers.provision(db(1), ADAS)
    with pytest.raises(ConflictError, match="already"):
        await bench.peer(2, name=bench.wireguard.book.peers[1].name)


async def test_two_gateways_of_one_pool_never_give_an_address_twice(bench: Bench) -> None:
    await bench.gateway("gw2")
    made = await asyncio.gather(
        *(bench.peer(number, gateway=("gw", "gw2")[number % 2]) for number in range(100))
    )
    addresses = [address for peer in made for address in peer.addresses]
    assert len(set(addresses)) == 200
    own = {address for gateway in bench.wireguard.book.gateways.values() for address in gateway.addresses}
    assert own == {"10.90.0.1", "10.90.0.2", "fd00:90::1", "fd00:90::2"}
    assert not own & set(addresses)
    with pytest.raises(InvalidError, match="say which gateway: `gw`, `gw2`"):
        await bench.peer(200)


async def test_an_exhausted_pool_and_addresses_that_rest(bench: Bench) -> None:
    await bench.gateway("small", "10.99.0.0/29")
    peers = [await bench.peer(number, gateway="small") for number in range(5)]
    with pytest.raises(UnavailableError, match=r"no free address is left in 10\.99\.0\.0/29"):
        await bench.peer(9, gateway="small")
    await bench.wireguard.peers.revoke(peers[2].id, ADMIN)
    with pytest.raises(UnavailableError, match="1 were freed a short while ago"):
        await bench.peer(9, gateway="small")
    bench.turn(hours=1)
    assert (await bench.peer(9, gateway="small")).addresses == peers[2].addresses


async def test_a_store_that_fails_leaves_nothing(bench: Bench) -> None:
    bench.store.broken = True
    with pytest.raises(UnavailableError):
        await bench.wireguard.peers.provision(db(), ADAS)
    assert bench.wireguard.book.peers == {}
    assert bench.access.requests == {}
    assert bench.wished() == []
    bench.store.broken = False
    peer, _ = await bench.wireguard.peers.provision(db(), ADAS)
    assert peer.addresses == ("10.90.0.2", "fd00:90::2")


async def test_nothing_is_asked_for_if_nothing_can_be_given(bench: Bench) -> None:
    await bench.peer(1, name="taken")
    with pytest.raises(ConflictError, match="already"):
        await bench.wireguard.peers.provision(db(2, name="taken"), ADAS)
    assert bench.access.requests == {}


async def test_a_gateway_that_never_spoke(bench: Bench) -> None:
    await bench.gateway("new", "10.98.0.0/24", reported=False)
    with pytest.raises(ConflictError, match="never reported its key"):
        await bench.peer(1, gateway="new")


async def test_gateways_by_profile_and_pools_by_team(bench: Bench) -> None:
    await bench.gateway("prod", "10.97.0.0/24", profiles=("prod",))
    with pytest.raises(InvalidError, match="does not serve profile `db`"):
        await bench.wireguard.peers.provision(db(gateway="prod"), ADAS)
    peer, _ = await bench.wireguard.peers.provision(db(), ADAS)
    assert peer.gateway_id == 1


async def test_a_made_up_name_is_nobody_elses(bench: Bench) -> None:
    await bench.peer(1, user_id=1, profile="db", name="user1-2")
    peer, _ = await bench.wireguard.peers.provision(db(2), ADAS)
    assert peer.name == "user1-2-2"


async def test_so_many_devices_and_no_more(bench: Bench) -> None:
    for number in range(10):
        await bench.wireguard.peers.provision(db(number), ADAS)
    with pytest.raises(ConflictError, match="10 devices already"):
        await bench.wireguard.peers.provision(db(11), ADAS)
    await bench.peer(11, user_id=1, profile="db")


async def test_a_device_gets_another_key(bench: Bench) -> None:
    peer = await bench.peer(1, preshared=True)
    changed = await bench.wireguard.peers.rotate(peer.id, public_key("new"), timedelta(hours=1), ADMIN)
    assert changed.newest_key().preshared_key != peer.newest_key().preshared_key != ""
    assert bench.wished() == [public_key(1), public_key("new")]
    again = await bench.wireguard.peers.rotate(peer.id, public_key("new"), timedelta(hours=1), ADMIN)
    assert again == changed
    bench.turn(hours=1)
    assert bench.wished() == [public_key("new")]
    await bench.wireguard.keeper.tick()
    assert len(bench.wireguard.book.peers[peer.id].keys) == 1
    await bench.peer(1, name="the-old-key-is-free")
    for key in (public_key(1), public_key("gw key-1")):
        with pytest.raises(ConflictError, match="in use elsewhere"):
            await bench.wireguard.peers.rotate(peer.id, key, timedelta(), ADMIN)
    with pytest.raises(InvalidError, match="overlap"):
        await bench.wireguard.peers.rotate(peer.id, public_key("x"), timedelta(days=99), ADMIN)
    second = await bench.wireguard.peers.rotate_preshared(peer.id, ADMIN)
    assert second.newest_key().preshared_key != changed.newest_key().preshared_key


async def test_everybody_handles_their_own(bench: Bench) -> None:
    peer, _ = await bench.wireguard.peers.provision(db(), ADAS)
    for verb in (
        bench.wireguard.peers.revoke(peer.id, BOBS),
        bench.wireguard.peers.rotate(peer.id, public_key(2), timedelta(), BOBS),
        bench.wireguard.peers.rotate_preshared(peer.id, BOBS),
    ):
        with pytest.raises(NotFoundError):
            await verb
    await bench.wireguard.peers.rotate(peer.id, public_key(2), timedelta(), ADAS)
    assert bench.wished() == [public_key(2)]
    ended = await bench.wireguard.peers.revoke(peer.id, ADAS)
    assert ended.end_reason == "revoked"
    assert bench.wished() == []
    with pytest.raises(ConflictError, match="ended at"):
        await bench.wireguard.peers.revoke(peer.id, ADAS)
    with pytest.raises(ConflictError, match="provision the device anew"):
        await bench.wireguard.peers.rotate_preshared(peer.id, ADMIN)


async def test_shut_out_people_lose_their_devices_at_once(bench: Bench) -> None:
    await bench.peer(1, user_id=1, service="", standing=True, reason="on call")

    def suspend(directory: Directory) -> None:
        directory.put_user(replace(ADA, suspended_at=bench.clock()))

    assert bench.wished() == [public_key(1)]
    await bench.tailnet.execute(suspend)
    assert bench.wished() == []
    with pytest.raises(ForbiddenError, match="suspended"):
        await bench.peer(2, user_id=1, service="", standing=True, reason="on call")


async def test_a_profile_that_is_narrowed_narrows_its_peers(bench: Bench) -> None:
    await bench.wireguard.peers.provision(db(), ADAS)
    bench.wished()
    before = bench.wireguard.wishes.current(1)
    profiles = {"db": {"src": ["user1@"], "dst": ["10.1.2.4:5432"], "proto": "tcp"}}
    await bench.policy.set(policy_text(profiles), actor=ACTOR)
    bench.wished()
    after = bench.wireguard.wishes.current(1)
    assert before is not None and after is not None
    assert after.peers[0].rules[0].networks == ("10.1.2.4/32",)
    await bench.policy.set(policy_text({}), actor=ACTOR)
    assert bench.wished() == []
