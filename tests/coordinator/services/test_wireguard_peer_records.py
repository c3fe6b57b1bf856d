"""Wishes, whether a peer is what is wished, and who may touch it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from coordinator.services.wireguard_peer_records import (
    PeerWanted,
    WireGuardCaller,
    differs,
    ends,
    peer_facts,
    require_own,
)
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import InvalidError, NotFoundError
from tests.support.builders import make_user
from tests.support.wireguard_records import NOW, make_gateway, make_peer, public_key

ACTOR = Actor(kind="api_key", name="k")
WANTED = PeerWanted(public_key=public_key(1), service="lab", standing=True)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({}, ""),
        ({"gateway": "gw1"}, ""),
        ({"gateway": "1"}, ""),
        ({"name": "peer1"}, ""),
        ({"gateway": "gw2"}, "gateway"),
        ({"name": "other"}, "name"),
        ({"service": "other"}, "person or service"),
        ({"profile": "db"}, "profile"),
        ({"until": NOW}, "end"),
        ({"team": "group:ops"}, "team"),
        ({"addresses": make_peer().addresses}, ""),
        ({"addresses": ("10.90.0.77",)}, "address"),
        ({"addresses": ("x",)}, "address"),
        ({"keepalive": 5}, "keepalive"),
        ({"preshared": True}, "preshared key"),
        ({"access_id": 4}, "reason to be"),
    ],
)
def test_what_differs(more: dict[str, Any], what: str) -> None:
    assert differs(make_peer(), replace(WANTED, **more), "standing", make_gateway()) == what


@pytest.mark.parametrize("more", [{"reason": "x" * 1001}, {"service": "x" * 101}, {"service": "a\nb"},
                                  {"keepalive": 70000}])  # fmt: skip
def test_wishes_nobody_can_have(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        PeerWanted(public_key=public_key(1), **more)


def test_ends() -> None:
    assert ends(WANTED, NOW) is None
    later = replace(WANTED, until=NOW + timedelta(hours=1))
    assert ends(later, NOW) == later.until
    for wrong in (replace(later, until=NOW), replace(later, since=NOW + timedelta(hours=2))):
        with pytest.raises(InvalidError, match="passed already"):
            ends(wrong, NOW)


def test_whose() -> None:
    peer = make_peer(user_id=1, service="")
    require_own(peer, WireGuardCaller(actor=ACTOR, admin=True))
    require_own(peer, WireGuardCaller(actor=ACTOR, user=make_user(1)))
    for other in (WireGuardCaller(actor=ACTOR), WireGuardCaller(actor=ACTOR, user=make_user(2))):
        with pytest.raises(NotFoundError):
            require_own(peer, other)


def test_the_log_never_holds_a_secret() -> None:
    peer = make_peer()
    peer = replace(peer, keys=(replace(peer.keys[0], preshared_key="SECRET"),))
    assert "SECRET" not in str(peer_facts(peer))
