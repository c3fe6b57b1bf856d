"""What a wish means at one moment."""

from datetime import timedelta

import msgspec

from coordinator.gateway import seen
from coordinator.gateway.clock import Time
from coordinator.gateway.target import Target, moments, target
from coordinator.wireguard.wire import Wish, WishedPeer
from tests.coordinator.gateway.builders import NOW, interface, key, peer, wish

MINUTE = timedelta(minutes=1)


def now(given: Wish, **handshakes: dict[str, int]) -> Target:
    """The target, with handshakes by interface and key."""
    there = {
        name: seen.Wireguard(peers={public: seen.Peer(latest_handshake=at) for public, at in times.items()})
        for name, times in handshakes.items()
    }
    return target(given, Time.exactly(NOW), there)


def addresses(result: Target, name: str = "wg0") -> dict[str, set[str]]:
    """By key."""
    return {public: set(found.allowed_ips) for public, found in result.peers[name].items()}


def test_only_open_windows() -> None:
    result = now(
        wish(
            peer(2),
            peer(3, not_before=NOW + MINUTE),
            peer(4, not_after=NOW),
            peer(5, not_after=NOW + MINUTE),
        )
    )
    assert addresses(result) == {key(2): {"10.99.0.2/32"}, key(5): {"10.99.0.5/32"}}
    assert {device.name for device in result.devices.values()} == {"laptop 2", "laptop 5"}
    assert result.routes == {("10.99.0.0/24", "wg0")}


def test_when_the_answer_changes() -> None:
    given = wish(peer(2), peer(3, not_before=NOW + MINUTE, not_after=NOW + 2 * MINUTE))
    assert sorted(moments(given)) == [NOW - MINUTE, NOW + MINUTE, NOW + 2 * MINUTE]


def two_keys(**fields: object) -> tuple[WishedPeer, WishedPeer]:
    """One device."""
    return peer(2, **fields), peer(3, device="d2", allowed_ips=("10.99.0.2/32",), **fields)


def test_two_keys_of_a_device() -> None:
    given = wish(*two_keys())
    mine: set[str] = {"10.99.0.2/32"}
    assert addresses(now(given)) == {key(2): set(), key(3): mine}, "the last, before any handshake"
    assert addresses(now(given, wg0={key(2): 5})) == {key(2): mine, key(3): set()}
    assert addresses(now(given, wg0={key(2): 5, key(3): 6})) == {key(2): set(), key(3): mine}
    assert addresses(now(given, wg0={key(2): 7, key(3): 6})) == {key(2): mine, key(3): set()}
    assert addresses(now(given, wg0={key(2): 7, key(3): 7})) == {key(2): set(), key(3): mine}
    assert len(now(given).devices) == 1
    assert now(given).overlapping


def test_rules_are_those_of_the_key_in_use() -> None:
    old, new = two_keys()
    given = wish(old, peer(3, device="d2", allowed_ips=("10.99.0.2/32",), rules=(), not_after=NOW + MINUTE))
    (device,) = now(given, wg0={key(2): 5}).devices.values()
    assert (device.rules, device.until) == (old.rules, None)
    (device,) = now(given, wg0={key(2): 5, key(3): 9}).devices.values()
    assert (device.rules, device.until) == ((), NOW + MINUTE)
    assert new.rules == old.rules


def test_two_interfaces() -> None:
    given = wish(peer(2), peer(3), interfaces=2)
    network = ("10.99.0.0/24", "wg0")
    assert now(given).routes == {network}
    assert addresses(now(given), "wg1") == addresses(now(given), "wg0")
    result = now(given, wg0={key(2): 5, key(3): 5}, wg1={key(3): 6})
    assert result.routes == {network, ("10.99.0.3/32", "wg1")}
    assert result.overlapping
    assert not now(wish(peer(2))).overlapping


def test_networks_behind_a_peer_get_routes() -> None:
    result = now(wish(peer(2, allowed_ips=("10.99.0.2/32", "192.168.7.0/24"))))
    assert result.routes == {("10.99.0.0/24", "wg0"), ("192.168.7.0/24", "wg0")}
    host = interface(0, addresses=("10.99.0.1/32",))
    assert now(msgspec.structs.replace(wish(peer(2)), interfaces=(host,))).routes == {("10.99.0.2/32", "wg0")}


def test_an_address_belongs_to_one_device() -> None:
    result = now(wish(peer(2), peer(3, allowed_ips=("10.99.0.2/32",))))
    assert addresses(result) == {key(2): {"10.99.0.2/32"}}
    assert [conflict.public_key for conflict in result.conflicts] == [key(3)]
    later = peer(3, allowed_ips=("10.99.0.2/32",), not_before=NOW + MINUTE)
    assert now(wish(peer(2), later)).conflicts == (), "one after the other is fine"


def test_networks_of_two_devices_do_not_overlap() -> None:
    net = peer(3, allowed_ips=("192.168.0.0/16",))
    for other in ("192.168.7.0/24", "192.168.7.1/32", "192.0.0.0/8"):
        result = now(wish(net, peer(2, allowed_ips=(other,))))
        assert [conflict.public_key for conflict in result.conflicts] == [key(2)], other
        result = now(wish(peer(2, allowed_ips=(other,)), net))
        assert [conflict.public_key for conflict in result.conflicts] == [key(3)], other
    assert now(wish(net, peer(2), peer(4, allowed_ips=("fd00::/64",)))).conflicts == ()


def test_without_an_interface_there_is_nothing() -> None:
    result = now(wish(peer(2), interfaces=0))
    assert (result.peers, result.devices, result.routes) == ({}, {}, frozenset())
