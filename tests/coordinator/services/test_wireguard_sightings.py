"""What happened between two looks at a peer."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from coordinator.services.wireguard_sightings import fresh, growth, sighting, steps_of, visible
from coordinator.wireguard.model import Seen
from coordinator.wireguard.wire import SeenPeer
from tests.support.wireguard_records import NOW, make_gateway, make_peer, public_key

FIRST = Seen(peer_id=1, public_key=public_key(1))
MINUTE = timedelta(minutes=1)


def told(**more: object) -> SeenPeer:
    return SeenPeer(public_key=public_key(1), interface="wg0", **more)  # type: ignore[arg-type]


def test_a_handshake_of_the_future_is_one_of_now() -> None:
    found = sighting(FIRST, told(latest_handshake=NOW + MINUTE, endpoint="e"), make_peer(), NOW)
    assert found.latest_handshake == NOW
    assert found.connected


def test_the_other_interface_knows_less() -> None:
    known = replace(FIRST, latest_handshake=NOW, endpoint="e", connected=True)
    assert sighting(known, told(latest_handshake=NOW - MINUTE), make_peer(), NOW) == known
    assert sighting(known, told(), make_peer(), NOW) == known


def test_steps() -> None:
    up = replace(FIRST, connected=True, endpoint="a")
    down = replace(up, connected=False)
    gateway, peer = make_gateway(), make_peer()
    assert [step.verb for step in steps_of(gateway, peer, FIRST, up)] == ["wgpeer.connected"]
    assert [step.verb for step in steps_of(gateway, peer, up, down)] == ["wgpeer.disconnected"]
    moved = steps_of(gateway, peer, up, replace(up, endpoint="b"))
    assert [(step.verb, step.after["from"]) for step in moved] == [("wgpeer.moved", "a")]
    assert steps_of(gateway, peer, up, up) == []


def test_small_things() -> None:
    assert visible("[fe80::1%2]:7\x1b[2J\n\0") == "[fe80::1%2]:7?[2J??"
    found = sighting(FIRST, told(latest_handshake=NOW, endpoint="192.0.2.7:1\0"), make_peer(), NOW)
    assert found.endpoint == "192.0.2.7:1?"
    assert fresh(NOW, NOW + 2 * MINUTE)
    assert not fresh(NOW, NOW + 3 * MINUTE)
    assert not fresh(None, NOW)
    assert (growth(5, 9), growth(9, 5)) == (4, 5)
