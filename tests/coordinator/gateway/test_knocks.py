"""The book of knocks: believed once, bounded, told rarely."""

import os
import time
from base64 import b64encode
from datetime import timedelta

import pytest

from coordinator.gateway import knocks as module
from coordinator.gateway import seen
from coordinator.gateway.clock import Time
from coordinator.gateway.initiation import Lock
from coordinator.gateway.knocks import LATELY, MOST_TOLD, OPENINGS_PER_SECOND, QUIET, RETURNS, Knocks
from coordinator.gateway.packets import Datagram
from coordinator.gateway.seen import Seen, Wireguard
from coordinator.gateway.target import Target, target
from coordinator.wireguard.wire import Knocked
from tests.coordinator.gateway.builders import NOW, key, peer, wish
from tests.coordinator.gateway.initiations import (
    DEVICE,
    FIRST,
    GATEWAY,
    GATEWAY_PUBLIC,
    SECOND,
    initiation,
    public_of,
)

SECONDS = timedelta(seconds=1)


def book(*known: str) -> Knocks:
    """Of a gateway with one interface."""
    made = Knocks()
    made.expect({51820: ("wg0", Lock(GATEWAY))}, frozenset(known))
    return made


def packet(
    data: bytes, *, address: str = "192.0.2.1", source_port: int = 4000, port: int = 51820
) -> Datagram:
    """From a device."""
    return Datagram(address=address, source_port=source_port, port=port, data=data)


def stranger() -> tuple[bytes, str]:
    """An initiation of a fresh key, and the key."""
    private = os.urandom(32)
    return initiation(GATEWAY_PUBLIC, private), b64encode(public_of(private)).decode()


def test_a_knock_is_a_place_for_three_minutes() -> None:
    knocks = book()
    assert knocks.ports == (51820,)
    assert knocks.take(packet(FIRST), NOW)
    assert knocks.endpoints(NOW + LATELY - SECONDS) == {("wg0", DEVICE): "192.0.2.1:4000"}
    assert knocks.endpoints(NOW + LATELY) == {}


def test_the_newest_place_counts() -> None:
    knocks = book()
    knocks.take(packet(FIRST), NOW)
    knocks.take(packet(SECOND, address="2001:db8::9"), NOW)
    assert knocks.endpoints(NOW) == {("wg0", DEVICE): "[2001:db8::9]:4000"}


def test_a_replay_is_no_knock() -> None:
    knocks = book()
    assert knocks.take(packet(SECOND), NOW)
    for old in (SECOND, FIRST):
        assert not knocks.take(packet(old, address="203.0.113.6"), NOW + SECONDS)
    assert knocks.endpoints(NOW) == {("wg0", DEVICE): "192.0.2.1:4000"}
    (told,) = knocks.to_tell(NOW)
    assert told.count == 1


@pytest.mark.parametrize(
    "data", [b"", b"x" * 148, FIRST[:-1], b"\x02" + FIRST[1:], FIRST[:60] + FIRST[61:] + b"x"]
)
def test_nonsense_is_no_knock(data: bytes) -> None:
    knocks = book()
    assert not knocks.take(packet(data), NOW)
    assert knocks.to_tell(NOW) == ()


def test_another_port_is_not_ours() -> None:
    assert not book().take(packet(FIRST, port=53), NOW)


def test_a_link_local_address_is_told_and_no_place() -> None:
    knocks = book()
    assert knocks.take(packet(FIRST, address="fe80::1"), NOW)
    assert knocks.endpoints(NOW) == {}
    assert len(knocks.to_tell(NOW)) == 1


def test_a_key_is_told_once_a_minute_and_not_while_it_is_open() -> None:
    knocks = book()
    knocks.take(packet(FIRST), NOW)
    first = Knocked(public_key=DEVICE, endpoint="192.0.2.1:4000", at=NOW, count=1)
    assert knocks.to_tell(NOW) == knocks.to_tell(NOW) == (first,)
    knocks.take(packet(SECOND, source_port=4001), NOW + 5 * SECONDS)
    # What came while the report was under way stays.
    knocks.told((first,), NOW)
    assert knocks.to_tell(NOW + QUIET - SECONDS) == ()
    (second,) = knocks.to_tell(NOW + QUIET)
    assert (second.count, second.endpoint, second.at) == (1, "192.0.2.1:4001", NOW + 5 * SECONDS)
    knocks.told((second,), NOW + QUIET)
    assert knocks.to_tell(NOW + 9 * QUIET) == ()


def test_an_open_key_is_not_told() -> None:
    knocks = book()
    knocks.opened({DEVICE})
    assert knocks.take(packet(FIRST), NOW)
    assert knocks.to_tell(NOW) == ()


def test_a_flood_of_wrong_packets_costs_little() -> None:
    knocks = book()
    wrong = packet(b"\x01\x00\x00\x00" + b"x" * 144)
    started = time.perf_counter()
    for _ in range(10_000):
        knocks.take(wrong, NOW)
    each = (time.perf_counter() - started) / 10_000
    assert each < 100e-6, each
    # And takes nothing from those that know better.
    assert knocks.take(packet(FIRST), NOW)


def test_openings_are_rationed() -> None:
    knocks = book()
    # A right mac1 around nonsense: what somebody can make that knows the gateway's public key.
    made = [stranger()[0] for _ in range(3)]
    taken = [knocks.take(packet(made[0]), NOW) for _ in range(OPENINGS_PER_SECOND)]
    assert taken.count(True) == 1
    assert not knocks.take(packet(made[1]), NOW)
    assert not knocks.take(packet(made[1]), NOW - SECONDS), "a clock that goes back gives nothing"
    assert knocks.take(packet(made[2]), NOW + SECONDS)


def test_strangers_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEYS", 3)
    knocks = book(DEVICE)
    knocks.take(packet(FIRST), NOW)
    last = ""
    for _ in range(5):
        data, last = stranger()
        knocks.take(packet(data), NOW)
    keys = [each.public_key for each in knocks.to_tell(NOW)]
    assert len(keys) == 3
    assert keys[0] == DEVICE, "the known before others"
    assert last in keys


def test_who_is_known_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEYS", 1)
    data, other = stranger()
    knocks = book(DEVICE, other)
    knocks.take(packet(FIRST), NOW)
    knocks.take(packet(data), NOW)
    assert len(knocks.to_tell(NOW)) == 2


def test_a_report_holds_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TOLD", 2)
    knocks = book()
    for _ in range(4):
        knocks.take(packet(stranger()[0]), NOW)
    knocks.take(packet(FIRST), NOW)
    knocks.take(packet(SECOND), NOW)
    told = knocks.to_tell(NOW)
    assert len(told) == 2 < MOST_TOLD
    assert (told[0].public_key, told[0].count) == (DEVICE, 2), "who comes again before who came once"
    knocks.told(told, NOW)
    assert len(knocks.to_tell(NOW)) == 2
    knocks.told((Knocked(public_key=key(5), endpoint="", at=NOW),), NOW)


def look(*peers: int, endpoint: str = "198.51.100.7:9", handshake: int = 7) -> Seen:
    """Peers on wg0."""
    found = {key(n): seen.Peer(endpoint=endpoint, latest_handshake=handshake) for n in peers}
    return Seen(wireguard={"wg0": Wireguard(peers=found)})


def wanted(*peers: int) -> Target:
    """These are to stay."""
    return target(wish(*(peer(n) for n in peers)), Time.exactly(NOW), {})


def test_where_a_peer_was_is_remembered_for_an_hour() -> None:
    knocks = book(key(2), key(3))
    # 2 goes, 3 stays, 4 is nobody's.
    knocks.departed(Seen(), look(2, 3, 4), wanted(3), NOW)
    place = {("wg0", key(2)): "198.51.100.7:9"}
    assert knocks.endpoints(NOW + RETURNS - SECONDS) == place
    assert knocks.endpoints(NOW + RETURNS) == {}
    assert knocks.to_tell(NOW) == ()


def test_also_of_one_that_somebody_took_off_or_whose_interface_is_gone() -> None:
    for now in (look(), Seen()):
        knocks = book(key(2))
        knocks.departed(look(2), now, wanted(2), NOW)
        assert knocks.endpoints(NOW) == {("wg0", key(2)): "198.51.100.7:9"}


def test_a_knock_counts_more_than_an_old_look_and_less_than_a_new_one() -> None:
    knocks = book(DEVICE)
    there = Seen(
        wireguard={"wg0": Wireguard(peers={DEVICE: seen.Peer(endpoint="198.51.100.7:9", latest_handshake=7)})}
    )
    knocks.take(packet(FIRST), NOW)
    knocks.departed(there, look(), wanted(), NOW)
    assert knocks.endpoints(NOW) == {("wg0", DEVICE): "192.0.2.1:4000"}
    knocks.departed(Seen(), there, wanted(), NOW)
    assert knocks.endpoints(NOW) == {("wg0", DEVICE): "198.51.100.7:9"}


def test_of_a_peer_that_is_there_and_stays_wireguard_knows_the_place() -> None:
    knocks = book(key(2))
    knocks.departed(Seen(), look(2), wanted(), NOW)
    assert knocks.endpoints(NOW)
    knocks.departed(look(2), look(2), wanted(2), NOW)
    assert knocks.endpoints(NOW) == {}


def test_a_peer_that_never_came_was_nowhere() -> None:
    for gone in (look(2, endpoint=""), look(2, handshake=0)):
        knocks = book(key(2))
        knocks.departed(Seen(), gone, wanted(), NOW)
        assert knocks.endpoints(NOW) == {}
