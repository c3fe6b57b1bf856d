"""The writer's view: indexes that follow every change, and every change taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.tailnet.errors import NotFoundError
from coordinator.tailnet.wireguard import WireGuardRecords
from tests.support.wireguard_records import NOW, make_gateway, make_peer, public_key, rotated

HOUR = timedelta(hours=1)


def view(records: WireGuardRecords) -> list[object]:
    parts = (records._records, records._by_key, records._by_address, records._by_name, records._freed)
    return [dict(part) for part in parts]  # type: ignore[call-overload]


def test_what_is_found() -> None:
    records = WireGuardRecords({"wgpeer:3": make_peer(3)})
    records.put(make_gateway())
    assert records.gateway(1).name == "gw1"
    assert records.peer(3).name == "peer3"
    assert records.named("wgpeer", "peer3") == make_peer(3)
    assert records.named("wggateway", "peer3") is None
    assert records.holder_of_key(public_key(3)) == make_peer(3)
    assert records.holder_of_key(public_key("gateway 1")) == make_gateway()
    assert records.address_taken("10.90.0.12")
    assert records.address_taken("10.90.0.1")
    for missing in (lambda: records.gateway(3), lambda: records.peer(1), lambda: records.token(1)):
        with pytest.raises(NotFoundError):
            missing()


def test_every_change_can_be_taken_back() -> None:
    records = WireGuardRecords({})
    states = [view(records)]
    undone = []
    peer = make_peer(3)
    for change in (
        lambda: records.put(make_gateway()),
        lambda: records.put(peer),
        lambda: records.put(rotated(peer, "new", NOW)),
        lambda: records.put(replace(peer, name="other", addresses=("10.90.0.99",))),
        lambda: records.put(peer.ended(NOW, "x", "revoked")),
        lambda: records.put(make_peer(4, addresses=peer.addresses)),
        lambda: records.delete("wggateway:1"),
    ):
        undone.append(change())
        states.append(view(records))
    for undo in reversed(undone):
        states.pop()
        undo()
        assert view(records) == states[-1]


def test_what_ended_holds_nothing_but_its_rest() -> None:
    records = WireGuardRecords({})
    records.put(make_peer(3).ended(NOW, "x", "revoked"))
    assert records.holder_of_key(public_key(3)) is None
    assert records.named("wgpeer", "peer3") is None
    assert not records.address_taken("10.90.0.12")
    assert records.resting("10.90.0.12", NOW, HOUR)
    assert not records.resting("10.90.0.12", NOW + HOUR, HOUR)
    assert not records.resting("10.90.0.13", NOW, HOUR)


def test_what_another_instance_committed_may_exchange_names_keys_and_addresses() -> None:
    one, two, gateway = make_peer(1), make_peer(2), make_gateway()
    records = WireGuardRecords({each.key: each for each in (one, two, gateway)})
    first = replace(one, name=two.name, keys=two.keys, addresses=two.addresses)
    second = replace(two, name=one.name, keys=one.keys, addresses=one.addresses)
    ended = replace(make_peer(3), ended_at=NOW)
    records.absorb([first, second, ended], {gateway.key, "wgpeer:77"})
    fresh = WireGuardRecords({each.key: each for each in (first, second, ended)})
    assert view(records) == view(fresh)
    records.absorb([], {first.key, second.key, ended.key})
    assert view(records)[:-1] == view(WireGuardRecords({}))[:-1]


def test_a_key_that_went_to_another_record_stays_with_it() -> None:
    """Deleted here, taken over there, in one batch; and the deletion of a record that is not there."""
    one = make_peer(1)
    records = WireGuardRecords({one.key: one})
    heir = replace(make_peer(2), keys=one.keys, addresses=one.addresses, name=one.name)
    records.absorb([heir], {one.key, "wgpeer:9"})
    assert view(records) == view(WireGuardRecords({heir.key: heir}))
    assert records.holder_of_key(public_key(1)) == heir
