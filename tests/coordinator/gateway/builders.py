"""Small wishes, for the tests of one module each."""

import base64
from datetime import UTC, datetime, timedelta

from coordinator.wireguard.wire import Rule, Wish, WishedInterface, WishedPeer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SSH = (Rule(networks=("10.60.10.0/24",), proto="tcp", ports=((22, 22),)),)


def key(number: int) -> str:
    """A text of the form of a key."""
    return base64.b64encode(number.to_bytes(32, "big")).decode()


def interface(number: int = 0, **fields: object) -> WishedInterface:
    """wg0, wg1 and so on."""
    given: dict[str, object] = {
        "name": f"wg{number}",
        "key_id": f"k{number}",
        "listen_port": 51820 + number,
        "addresses": ("10.99.0.1/24",),
    }
    return WishedInterface(**{**given, **fields})  # type: ignore[arg-type]


def peer(number: int, **fields: object) -> WishedPeer:
    """A peer with the address 10.99.0.<number>, open since a minute and without end."""
    given: dict[str, object] = {
        "public_key": key(number),
        "device": f"d{number}",
        "name": f"laptop {number}",
        "allowed_ips": (f"10.99.0.{number}/32",),
        "not_before": NOW - timedelta(minutes=1),
        "not_after": None,
        "rules": SSH,
    }
    return WishedPeer(**{**given, **fields})  # type: ignore[arg-type]


def wish(*peers: WishedPeer, interfaces: int = 1, version: str = "1", **fields: object) -> Wish:
    """A wish with these peers."""
    given: dict[str, object] = {
        "version": version,
        "gateway": "edge",
        "now": NOW,
        "interfaces": tuple(interface(number) for number in range(interfaces)),
        "peers": peers,
    }
    return Wish(**{**given, **fields})  # type: ignore[arg-type]
