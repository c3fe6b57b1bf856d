"""Preshared keys at rest: unreadable in the row, bound to it, and back in memory as they were."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest
from sqlalchemy import URL, select

from coordinator.store import schema
from coordinator.store.preshared_seal import PresharedKeySeal, has_plain, require_none
from coordinator.store.store import Store
from coordinator.tailnet.errors import InvalidError
from coordinator.tailnet.state import ChangeSet
from coordinator.wireguard.model import Peer, PeerKey
from tests.support.wireguard_records import NOW, make_gateway, make_peer, public_key

SECRET = "cHJlc2hhcmVkIGtleSBvZiB0aGUgZGV2aWNlIG51bTE="


def seal(key: int = 1) -> PresharedKeySeal:
    return PresharedKeySeal(bytes([key]) * 32, secrets.token_bytes)


def shared(number: int = 1, secret: str = SECRET) -> Peer:
    keys = (PeerKey(public_key=public_key(number), since=NOW, preshared_key=secret, preshared_since=NOW),)
    return make_peer(number, keys=keys)


def sealed(peer: Peer, key: int = 1) -> Peer:
    made = seal(key).seal(peer)
    assert isinstance(made, Peer)
    return made


def test_a_round_trip() -> None:
    stored = sealed(shared())
    assert not has_plain(stored)
    assert stored.keys[0].unreadable
    assert SECRET not in repr(stored)
    assert SECRET not in repr(shared())
    assert seal().open(stored) == shared()
    # Twice the same text does not show.
    assert sealed(shared()) != stored


def test_what_has_no_preshared_key_is_left_alone() -> None:
    for record in (make_gateway(), make_peer()):
        assert seal().seal(record) is record or seal().seal(record) == record
        assert seal().open(record) == record
        assert require_none(record) is record


@pytest.mark.parametrize("where", ["peer", "key"])
def test_a_sealed_value_opens_nowhere_else(where: str) -> None:
    stored = sealed(shared())
    moved = (
        replace(stored, id=2)
        if where == "peer"
        else replace(stored, keys=(replace(stored.keys[0], public_key=public_key(7)),))
    )
    assert seal().open(moved) == moved
    assert moved.keys[0].unreadable


@pytest.mark.parametrize("text", ["1.", "1.AAAA", "1.not base64 at all", "9.AAAA", "x"])
def test_damaged_values_stay_as_they_are(text: str) -> None:
    damaged = replace(shared(), keys=(replace(shared(secret="").keys[0], preshared_sealed=text),))
    assert seal().open(damaged) == damaged


def test_another_key_changes_nothing_and_the_former_brings_it_back() -> None:
    stored = sealed(shared(), key=1)
    opened = seal(2).open(stored)
    assert opened == stored
    assert seal(2).seal(opened) == stored
    assert seal(1).open(seal(2).seal(opened)) == shared()


async def test_the_store_holds_it_sealed(url: URL) -> None:
    store = await Store.open(url, seal=seal())
    try:
        await store.commit(ChangeSet(put_wireguard={"wgpeer:1": shared(), "wggateway:1": make_gateway()}))
        async with store._engine.connect() as connection:
            documents = list(await connection.scalars(select(schema.wireguard_records.c.document)))
        assert not any(SECRET in document for document in documents)
        assert (await store.load()).wireguard["wgpeer:1"] == shared()
    finally:
        await store.close()


async def test_a_store_without_a_key_refuses_it(url: URL) -> None:
    store = await Store.open(url)
    try:
        with pytest.raises(InvalidError, match="no key to seal"):
            await store.commit(ChangeSet(put_wireguard={"wgpeer:1": shared()}))
        await store.commit(ChangeSet(put_wireguard={"wgpeer:2": make_peer(2)}))
        assert set((await store.load()).wireguard) == {"wgpeer:2"}
    finally:
        await store.close()
