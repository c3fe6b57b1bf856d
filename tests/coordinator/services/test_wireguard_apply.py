"""Gateways and peers as code: in one step or not at all, and the second time nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from acl.problems import PolicyError
from coordinator.services.wireguard_apply import Applied
from coordinator.tailnet.errors import ConflictError, CoordinatorError
from tests.support.wireguard_bench import ACTOR, ADMIN, Bench, wireguard_bench
from tests.support.wireguard_records import public_key


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with wireguard_bench() as made:
        yield made


GATEWAY = "gateways: [{name: gw, host: vpn.example.com, pools: [10.90.0.0/24]}]\n"


def peer(name: str, number: int | str, more: str = "service: lab, permanent: true, reason: r") -> str:
    return f"  - {{name: {name}, publicKey: {public_key(number)}, gateway: gw, {more}}}\n"


async def run(bench: Bench, text: str, *, dry_run: bool = False) -> Applied:
    return await bench.wireguard.apply.apply(text, dry_run=dry_run, actor=ACTOR)


def said(applied: Applied) -> list[tuple[str, str, str, str]]:
    return [(each.verb, each.kind, each.name, each.detail) for each in applied.changes]


async def test_twice_changes_nothing(bench: Bench) -> None:
    text = GATEWAY + "peers:\n" + peer("one", 1) + peer("two", 2, "user: user1, profile: db")
    dry = await run(bench, text, dry_run=True)
    assert said(dry) == [
        ("create", "gateway", "gw", ""),
        ("create", "peer", "one", ""),
        ("create", "peer", "two", ""),
    ]
    assert dry.tokens == {}
    assert bench.wireguard.book.gateways == {}
    assert bench.audited() == []
    real = await run(bench, text)
    assert said(real) == said(dry)
    assert bench.wireguard.gateways.authenticate(real.tokens["gw"]) is not None
    assert bench.wished() == [public_key(1)]
    commits = len(bench.store.commits)
    assert said(await run(bench, text)) == []
    assert len(bench.store.commits) == commits


async def test_differences_alone(bench: Bench) -> None:
    await run(bench, GATEWAY + "peers:\n" + peer("one", 1) + peer("two", 2) + peer("three", 3))
    addresses = {each.name: each.addresses for each in bench.wireguard.book.peers.values()}
    text = GATEWAY.replace("]}]", "], listenPort: 5000}]") + "peers:\n"
    text += peer("one", "new") + peer("two", 2, "service: lab, permanent: true, reason: r, keepalive: 9")
    applied = await run(bench, text)
    assert said(applied) == [
        ("delete", "peer", "three", ""),
        ("change", "gateway", "gw", "listen_port"),
        ("change", "peer", "one", "publicKey"),
        ("change", "peer", "two", "keepalive"),
    ]
    assert bench.wished() == [public_key("new"), public_key(2)]
    assert bench.wireguard.book.peer("one").addresses == addresses["one"]
    assert said(await run(bench, text)) == []
    moved = text.replace("keepalive: 9", "keepalive: 9, addresses: [10.90.0.77]")
    assert said(await run(bench, moved)) == [("change", "peer", "two", "addresses (made anew)")]
    assert bench.wireguard.book.peer("two").addresses == ("10.90.0.77",)
    assert said(await run(bench, moved)) == []


async def test_preshared_keys_come_and_go(bench: Bench) -> None:
    plain = GATEWAY + "peers:\n" + peer("one", 1)
    shared = plain.replace("reason: r", "reason: r, presharedKey: true")
    await run(bench, plain)
    assert said(await run(bench, shared)) == [("change", "peer", "one", "presharedKey")]
    assert bench.wireguard.book.peer("one").newest_key().preshared_key
    assert said(await run(bench, shared)) == []
    await run(bench, plain)
    assert not bench.wireguard.book.peer("one").newest_key().preshared_key


async def test_what_was_made_by_hand_stays_unless_it_is_named(bench: Bench) -> None:
    await bench.gateway()
    by_hand = await bench.peer(1, name="by-hand")
    await bench.peer(2, name="adopted")
    with pytest.raises(CoordinatorError, match=r"line 1, column 12: gateway `gw`: peer .* has fd00:90::"):
        await run(bench, GATEWAY)
    text = GATEWAY.replace("/24]", "/24, 'fd00:90::/64']") + "peers:\n" + peer("adopted", 2)
    applied = await run(bench, text)
    assert said(applied) == [
        ("change", "gateway", "gw", "declared"),
        ("change", "peer", "adopted", "reason, declared"),
    ]
    await run(bench, text.split("peers:")[0])
    assert bench.wireguard.book.peer("by-hand") == by_hand
    with pytest.raises(ConflictError, match="has 1 peers"):
        await run(bench, "gateways: []")
    await bench.wireguard.peers.revoke(by_hand.id, ADMIN)
    assert said(await run(bench, "gateways: []")) == [("delete", "gateway", "gw", "")]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (peer("one", 1, "service: x, user: user1"), "not both"),
        (peer("one", 1, "service: x, permanent: true"), "need a `reason`"),
        (peer("one", 1, "service: x"), "needs a `user` and a `profile`"),
        (peer("one", 1, "user: nobody, profile: db"), "nobody"),
        (peer("one", 1, "user: user1, profile: none"), "no access profile `none`"),
        (peer("one", 1).replace("gateway: gw", "gateway: none"), "`none` does not exist"),
        (peer("One", 1), "peer name"),
        (peer("one", 1).replace(public_key(1), "x"), "publicKey"),
        (peer("one", 1, "service: x, reason: r, until: 2020-01-01"), "passed already"),
    ],
)
async def test_all_or_nothing(bench: Bench, item: str, message: str) -> None:
    with pytest.raises(CoordinatorError, match=rf"^line 4, column 5: peer `[Oo]ne`: .*{message}"):
        await run(bench, GATEWAY + "peers:\n" + peer("good", 9) + item)
    assert bench.wireguard.book.gateways == {}
    assert bench.wireguard.book.peers == {}
    with pytest.raises(PolicyError, match="line 1, column 1"):
        await run(bench, "nonsense: 1")


async def test_a_store_that_fails(bench: Bench) -> None:
    bench.store.broken = True
    with pytest.raises(CoordinatorError):
        await run(bench, GATEWAY)
    bench.store.broken = False
    assert bench.wireguard.book.gateways == {}
    await run(bench, GATEWAY)
    assert bench.wireguard.book.gateway("gw").addresses == ("10.90.0.1",)
