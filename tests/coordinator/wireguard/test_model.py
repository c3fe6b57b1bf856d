"""What is kept: it survives the store's documents, and knows when it counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from coordinator.wireguard.model import RECORD_TYPES, EnrolmentToken, Record, Seen, kind_of, live_peers
from tests.support.wireguard_records import NOW, gateway_key, make_gateway, make_peer, public_key, rotated

HOUR = timedelta(hours=1)
TOKEN = EnrolmentToken(
    id=3, prefix="a" * 12, hash=b"x" * 32, created_at=NOW, created_by="socket:test", expires_at=NOW + HOUR
)


@pytest.mark.parametrize(
    "record",
    [
        make_gateway(),
        rotated(make_peer(4, user_id=7, basis="profile", profile="db"), 9, NOW + HOUR),
        TOKEN,
        Seen(peer_id=4, public_key=public_key(4), latest_handshake=NOW, endpoint="192.0.2.1:5"),
    ],
)
def test_documents_hold_everything(record: Record) -> None:
    again = msgspec.json.decode(msgspec.json.encode(record), type=RECORD_TYPES[kind_of(record.key)])
    assert again == record


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="`node:1` names no record"):
        kind_of("node:1")


def test_two_keys_count_while_one_replaces_the_other() -> None:
    peer = rotated(make_peer(), "new", NOW + HOUR)
    assert len(peer.valid_keys(NOW)) == 2
    assert peer.valid_keys(NOW + HOUR) == (peer.newest_key(),)


def test_devices_are_told_the_newest_key_that_is_known() -> None:
    first, second = gateway_key(1), gateway_key(2, public_key="")
    gateway = make_gateway(keys=(first, second))
    assert gateway.current_key() == first
    assert gateway.with_key(replace(second, public_key=public_key(5))).current_key().key_id == "k2"
    assert make_gateway(keys=(second,)).current_key() == second


def test_an_end_forgets_the_preshared_key() -> None:
    peer = make_peer()
    peer = replace(peer, keys=(replace(peer.keys[0], preshared_key="secret"),))
    over = peer.ended(NOW, "ada", "revoked")
    assert not over.live
    assert over.keys[0].preshared_key == ""
    assert over.keys[0].until == NOW
    assert live_peers([over, make_peer(2), make_peer(3, gateway_id=2)], 1) == [make_peer(2)]


def test_a_token_works_once_and_in_time() -> None:
    assert TOKEN.usable(NOW)
    assert not TOKEN.usable(NOW + HOUR)
    assert not replace(TOKEN, used_at=NOW).usable(NOW)
    assert not replace(TOKEN, revoked_at=NOW).usable(NOW)
