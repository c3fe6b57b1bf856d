"""What gateways and the server say to each other."""

from datetime import UTC, datetime

import msgspec

from coordinator.wireguard.wire import Report, Rule, Wish, WishedInterface, WishedPeer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def wish() -> Wish:
    peer = WishedPeer(
        public_key="k" * 43 + "=",
        device="7",
        name="laptop",
        allowed_ips=("10.99.0.2/32",),
        not_before=NOW,
        not_after=None,
        rules=(Rule(networks=("10.60.10.0/24",), proto="tcp", ports=((22, 22), (8000, 8080))),),
    )
    interface = WishedInterface(name="wg0", key_id="1", listen_port=51820, addresses=("10.99.0.1/24",))
    return Wish(version="3", gateway="edge", now=NOW, interfaces=(interface,), peers=(peer,))


def test_a_wish_survives_the_wire() -> None:
    text = msgspec.json.encode(wish())
    assert msgspec.json.decode(text, type=Wish) == wish()
    assert b'"publicKey"' in text
    assert b'"now":"2026-03-01T12:00:00Z"' in text


def test_fields_of_newer_versions_are_ignored() -> None:
    text = b'{"version":"1","now":"2026-03-01T12:00:00Z","publicKeys":{"1":"abc"},"weather":"fine"}'
    assert msgspec.json.decode(text, type=Report).public_keys == {"1": "abc"}
