"""Enrolment tokens: one device each, in time, and the same answer to the same device."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coordinator.services.wireguard_peer_records import PeerWanted, WireGuardCaller
from coordinator.services.wireguard_tokens import TokenWanted
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ConflictError, CoordinatorError, ForbiddenError
from tests.support.wireguard_bench import ACTOR, Bench, wireguard_bench
from tests.support.wireguard_records import public_key


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with wireguard_bench() as made:
        await made.gateway()
        yield made


def caller(bench: Bench, text: str) -> WireGuardCaller:
    token = bench.wireguard.tokens.authenticate(text)
    assert token is not None
    return WireGuardCaller(actor=Actor(kind="wireguard_token", name=token.prefix), token=token)


async def test_one_device_and_no_other(bench: Bench) -> None:
    token, text = await bench.wireguard.tokens.create(TokenWanted(user_id=1, profile="db"), actor=ACTOR)
    # What a device says of itself does not count.
    wanted = PeerWanted(public_key=public_key(1), user_id=2, service="x", profile="prod", standing=True)
    peer, made = await bench.wireguard.peers.provision(wanted, caller(bench, text))
    assert made
    assert (peer.user_id, peer.service, peer.profile, peer.basis) == (1, "", "db", "profile")
    again = await bench.wireguard.peers.provision(wanted, caller(bench, text))
    assert again == (peer, False)
    other = PeerWanted(public_key=public_key(2))
    with pytest.raises(ForbiddenError, match="was used"):
        await bench.wireguard.peers.provision(other, caller(bench, text))
    with pytest.raises(ConflictError, match="was used"):
        await bench.wireguard.tokens.revoke(token.id, actor=ACTOR)
    assert text not in str(bench.audited())


async def test_a_failure_does_not_use_it_up(bench: Bench) -> None:
    _, text = await bench.wireguard.tokens.create(TokenWanted(user_id=1, profile="db"), actor=ACTOR)
    bench.store.broken = True
    with pytest.raises(CoordinatorError):
        await bench.wireguard.peers.provision(PeerWanted(public_key=public_key(1)), caller(bench, text))
    bench.store.broken = False
    await bench.wireguard.peers.provision(PeerWanted(public_key=public_key(2)), caller(bench, text))


async def test_time_and_revocation_end_it(bench: Bench) -> None:
    tokens = bench.wireguard.tokens
    token, text = await tokens.create(TokenWanted(user_id=1, profile="db"), actor=ACTOR)
    bench.turn(hours=24)
    assert tokens.authenticate(text) is None
    token, text = await tokens.create(TokenWanted(user_id=1, profile="db"), actor=ACTOR)
    await tokens.revoke(token.id, actor=ACTOR)
    assert tokens.authenticate(text) is None
    with pytest.raises(ConflictError, match="revoked already"):
        await tokens.revoke(token.id, actor=ACTOR)
    assert [each.id for each in tokens.all()] == [2, 1]
    bench.turn(days=200)
    await bench.wireguard.keeper.tick()
    assert tokens.all() == []


async def test_a_service_gets_a_standing_peer(bench: Bench) -> None:
    wanted = TokenWanted(service="printer", standing=True, reason="cannot ask")
    _, text = await bench.wireguard.tokens.create(wanted, actor=ACTOR)
    peer, _ = await bench.wireguard.peers.provision(PeerWanted(public_key=public_key(1)), caller(bench, text))
    assert (peer.basis, peer.service, peer.reason) == ("standing", "printer", "cannot ask")
    assert bench.wished() == [public_key(1)]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "whose device"),
        ({"user_id": 1, "service": "x"}, "not both"),
        ({"user_id": 1}, "access profile"),
        ({"service": "x"}, "no access windows"),
        ({"service": "x", "standing": True}, "needs a reason"),
        ({"user_id": 1, "profile": "none"}, "no access profile"),
        ({"user_id": 1, "profile": "managed"}, "srcPosture"),
        ({"user_id": 1, "profile": "tunnel"}, "gre"),
        ({"service": "a\nb", "standing": True, "reason": "r"}, "visible characters"),
        ({"service": "x", "until": datetime(2020, 1, 1, tzinfo=UTC), "reason": "r"}, "passed already"),
        ({"user_id": 1, "profile": "db", "gateway": "none"}, "does not exist"),
        ({"user_id": 77, "profile": "db"}, "does not exist"),
    ],
)
async def test_tokens_that_make_no_sense(bench: Bench, more: dict[str, Any], said: str) -> None:
    with pytest.raises(CoordinatorError, match=said):
        await bench.wireguard.tokens.create(TokenWanted(**more), actor=ACTOR)
    ends = bench.clock() + timedelta(days=31)
    with pytest.raises(CoordinatorError, match="within 30 days"):
        await bench.wireguard.tokens.create(
            TokenWanted(user_id=1, profile="db", expires_at=ends), actor=ACTOR
        )
