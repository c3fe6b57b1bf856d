"""A preshared key that cannot be read closes its peer, says so, and is healed by a rotation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.services.wireguard_peer_records import PeerWanted
from coordinator.services.wireguard_preshared import MOST_NAMES, report_unreadable, require_readable
from coordinator.tailnet.errors import ConflictError
from coordinator.tailnet.state import TailnetState
from coordinator.wireguard.model import Peer, PeerKey
from tests.support.wireguard_bench import ADMIN, Bench, wireguard_bench
from tests.support.wireguard_records import NOW, make_gateway, make_peer, public_key


def unreadable(number: int = 1) -> Peer:
    key = PeerKey(
        public_key=public_key(number), since=NOW, preshared_since=NOW, preshared_sealed="1.of another key"
    )
    return make_peer(number, keys=(key,))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    state = TailnetState(
        wireguard={"wggateway:1": make_gateway(), "wgpeer:1": unreadable(), "wgpeer:2": make_peer(2)}
    )
    async with wireguard_bench(state) as made:
        yield made


def test_the_report_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_unreadable([make_peer(), unreadable().ended(NOW, "x", "revoked")]) == []
    assert capsys.readouterr().out == ""
    many = [unreadable(number) for number in range(1, 40)]
    assert report_unreadable(many) == many
    said = capsys.readouterr().out
    assert "peers rotate NAME --preshared-key" in said
    assert said.count("'peer") == MOST_NAMES


def test_what_can_be_read_is_no_matter() -> None:
    require_readable(make_peer())
    require_readable(replace(make_peer(), keys=(make_peer().keys[0].with_preshared("secret", NOW),)))
    with pytest.raises(ConflictError, match="peers rotate peer1 --preshared-key"):
        require_readable(unreadable())


async def test_its_peer_is_closed_and_no_other(bench: Bench) -> None:
    assert bench.wished() == [public_key(2)]
    peer = bench.wireguard.book.peers[1]
    assert bench.wireguard.openings.state(peer, bench.clock()) == "unreadable"
    # The same question again is not answered with a configuration that would be less than agreed.
    again = PeerWanted(
        public_key=public_key(1), service="lab", standing=True, reason="r", preshared=True, name="peer1"
    )
    with pytest.raises(ConflictError, match="another Noise key"):
        await bench.wireguard.peers.provision(again, ADMIN)


async def test_a_rotation_opens_it_again(bench: Bench) -> None:
    changed = await bench.wireguard.peers.rotate_preshared(1, ADMIN)
    assert changed.newest_key().preshared_key
    assert not changed.newest_key().preshared_sealed
    assert sorted(bench.wished()) == sorted([public_key(1), public_key(2)])


async def test_a_new_key_of_the_device_gets_a_preshared_key_again(bench: Bench) -> None:
    changed = await bench.wireguard.peers.rotate(1, public_key(7), timedelta(hours=1), ADMIN)
    assert [key.unreadable for key in changed.keys] == [True, False]
    assert changed.newest_key().preshared_key
    # The former key is not wished without its preshared key.
    assert sorted(bench.wished()) == sorted([public_key(7), public_key(2)])
    await bench.wireguard.peers.revoke(1, ADMIN)
    assert not any(key.preshared for key in bench.wireguard.book.peers[1].keys)
