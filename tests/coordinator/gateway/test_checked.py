"""What of a wish may become a command line."""

from datetime import datetime

import msgspec
import pytest

from coordinator.gateway.checked import checked, is_key
from coordinator.wireguard.wire import Rule
from tests.coordinator.gateway.builders import interface, key, peer, wish


def test_a_good_wish_passes_as_it_is() -> None:
    good = wish(peer(2), peer(3), interfaces=2)
    assert checked(good) == (good, ())


def test_networks_and_ports_become_canonical() -> None:
    rule = Rule(
        networks=("10.60.10.7/24", "10.60.10.0/25", "FD00::1/64"), ports=((80, 90), (22, 22), (91, 99))
    )
    clean, wrong = checked(wish(peer(2, rules=(rule,), allowed_ips=("10.99.0.2", "10.99.0.2/32"))))
    assert wrong == ()
    assert clean.peers[0].allowed_ips == ("10.99.0.2/32",)
    assert clean.peers[0].rules[0].networks == ("10.60.10.0/24", "fd00::/64")
    assert clean.peers[0].rules[0].ports == ((22, 22), (80, 99))


def test_a_thousand_peers_are_held_once_and_not_parsed_again() -> None:
    rule = Rule(networks=("10.60.10.0/24",))
    odd = Rule(networks=("10.60.10.7/24",))
    given = wish(
        peer(2, rules=(rule,)), peer(3, rules=(Rule(networks=("10.60.10.0/24",)),)), peer(4, rules=(odd,))
    )
    clean, _ = checked(given)
    assert clean.peers[0].rules is clean.peers[1].rules
    again, _ = checked(msgspec.convert(msgspec.to_builtins(given), type(given)))
    assert all(new is old for new, old in zip(again.peers, clean.peers, strict=True))
    checked(wish())
    fresh, _ = checked(given)
    assert fresh.peers == clean.peers
    assert fresh.peers[0] is not clean.peers[0]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"public_key": "x"}, "public key is not base64"),
        ({"public_key": key(2)[:-1] + "\n"}, "public key is not base64"),
        ({"preshared_key": "secret"}, "preshared key is not base64"),
        ({"device": ""}, "no device"),
        ({"not_before": datetime(2026, 1, 1)}, "without its zone"),
        ({"not_after": datetime(2026, 1, 1)}, "without its zone"),
        ({"keepalive_seconds": -1}, "keepalive"),
        ({"keepalive_seconds": 70000}, "keepalive"),
        ({"allowed_ips": ()}, "no address"),
        ({"allowed_ips": ("0.0.0.0/0",)}, "every address"),
        ({"allowed_ips": ("10.99.0.2", "fd00::7%eth0")}, "names a zone"),
        ({"rules": (Rule(networks=("fd00::%eth0/64",)),)}, "rule 1: `fd00::%eth0/64` names a zone"),
        ({"allowed_ips": ("10.99.0.2 }; flush ruleset",)}, "does not appear to be"),
        ({"rules": (Rule(networks=()),)}, "rule 1: no network"),
        ({"rules": (Rule(networks=("10.0.0.0/8",)), Rule(networks=("x",)))}, "rule 2"),
        (
            {"inbound": (Rule(networks=("10.0.0.0/8",), proto="icmp", ports=((1, 1),)),)},
            "inbound rule 1: ICMP",
        ),
        ({"rules": (Rule(networks=("10.0.0.0/8",), ports=((90, 80),)),)}, "90-80 is no range"),
        ({"rules": (Rule(networks=("10.0.0.0/8",), ports=((0, 80),)),)}, "0-80 is no range"),
        ({"rules": (Rule(networks=("10.0.0.0/8",), ports=((80, 65536),)),)}, "is no range"),
    ],
)
def test_a_wrong_peer_is_left_out_alone(fields: dict[str, object], says: str) -> None:
    clean, wrong = checked(wish(peer(2, **fields), peer(3)))
    assert [kept.name for kept in clean.peers] == ["laptop 3"]
    assert [each.detail.startswith("peer laptop 2: ") and says in each.detail for each in wrong] == [True]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "wg0; reboot"}, "no name for an interface"),
        ({"name": "a" * 14}, "no name for an interface"),
        ({"name": "-x/"}, "no name"),
        ({"key_id": "../../etc/shadow"}, "no id for a key"),
        ({"listen_port": 0}, "no UDP port"),
        ({"addresses": ()}, "no address"),
        ({"addresses": ("10.0.0.1/0",)}, "everything"),
        ({"addresses": ("x",)}, "does not appear"),
        ({"addresses": ("fd00::1%eth0/64",)}, "names a zone"),
        ({"mtu": 1200, "addresses": ("fd00::1/64",)}, "MTU"),
    ],
)
def test_a_wrong_interface_is_left_out_alone(fields: dict[str, object], says: str) -> None:
    both = (interface(0, **fields), interface(1))
    clean, wrong = checked(msgspec.structs.replace(wish(), interfaces=both), prefix="c-")
    assert [kept.name for kept in clean.interfaces] == ["c-wg1"]
    assert len(wrong) == 1
    assert says in wrong[0].detail


def test_what_is_there_twice_counts_once() -> None:
    clean, wrong = checked(wish(peer(2), peer(3, public_key=key(2))))
    assert [kept.name for kept in clean.peers] == ["laptop 2"]
    assert "twice" in wrong[0].detail


def test_text_of_a_server_commands_no_terminal() -> None:
    _, wrong = checked(wish(peer(2, name="\x1b[2Jx" + "y" * 500, device="")))
    assert wrong[0].detail.isprintable()
    assert len(wrong[0].detail) < 150


def test_keys_have_one_spelling() -> None:
    assert is_key(key(7))
    assert not is_key(key(7)[:-2] + "B=")
    assert not is_key("é" * 44)
