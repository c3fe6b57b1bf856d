"""The wish: keys, addresses, windows, two interfaces while a key is replaced, the version of its content."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from coordinator.wireguard.wire import Rule, Wish
from coordinator.wireguard.wish import Admitted, Opening, boundaries, wish, wished_peers
from tests.support.wireguard_records import NOW, gateway_key, make_gateway, make_peer, public_key, rotated

HOUR = timedelta(hours=1)
RULE = Rule(networks=("10.1.0.0/16",), proto="tcp", ports=((22, 22),))


def admitted(number: int = 1, **more: object) -> Admitted:
    opening = Opening(not_before=NOW, not_after=NOW + HOUR)
    return Admitted(peer=make_peer(number, **more), opening=opening, rules=(RULE,))


def made(*peers: Admitted, now: timedelta = timedelta()) -> Wish:
    found = [each for peer in peers for each in wished_peers(peer, NOW + now)]
    return wish(make_gateway(), found, NOW + now)


def test_a_peer_on_its_interface() -> None:
    found = made(admitted())
    (interface,), (peer,) = found.interfaces, found.peers
    assert interface.addresses == ("10.90.0.1/24", "fd00:90::1/64")
    assert (interface.name, interface.listen_port, interface.key_id) == ("wg0", 51820, "k1")
    assert peer.allowed_ips == ("10.90.0.10/32", "fd00:90::a/128")
    assert (peer.not_before, peer.not_after, peer.rules) == (NOW, NOW + HOUR, (RULE,))
    assert (peer.device, peer.name, peer.keepalive_seconds) == ("1", "peer1", 0)


def test_the_version_is_that_of_the_content() -> None:
    assert made(admitted()).version == made(admitted(), now=HOUR / 2).version
    assert made(admitted()).version != made(admitted(), admitted(2)).version
    assert made(admitted()).version != made().version


def test_a_replaced_key_shares_the_device_and_ends_earlier() -> None:
    each = admitted()
    each = replace(each, peer=rotated(each.peer, "new", NOW + HOUR / 4))
    old, new = wished_peers(each, NOW)
    assert (old.not_after, new.not_after) == (NOW + HOUR / 4, NOW + HOUR)
    assert old.device == new.device
    assert old.allowed_ips == new.allowed_ips
    assert [key.public_key for key in wished_peers(each, NOW + HOUR / 2)] == [public_key("new")]
    assert boundaries([each], [make_gateway()], NOW) == NOW + HOUR / 4
    assert boundaries([each], [make_gateway()], NOW + HOUR / 2) == NOW + HOUR
    assert boundaries([each], [make_gateway()], NOW + HOUR) is None


def test_two_interfaces_while_the_gateways_key_is_replaced() -> None:
    gateway = make_gateway(keys=(gateway_key(1, until=NOW + HOUR), gateway_key(2)))
    assert [each.name for each in wish(gateway, (), NOW).interfaces] == ["wg0", "wg1"]
    assert [each.name for each in wish(gateway, (), NOW + HOUR).interfaces] == ["wg1"]
    assert boundaries([], [gateway], NOW) == NOW + HOUR
