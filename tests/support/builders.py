"""Short ways to make domain values in tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha384
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from coordinator.tailcfg.keys import DiscoKey, MachineKey, NodeKey
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.preauth_keys import PreAuthKey, hash_secret, new_secret, split_key
from coordinator.tailnet.users import User, UserID

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **delta: float) -> None:
        self.now += timedelta(**delta)


def machine_key(number: int) -> MachineKey:
    return MachineKey(f"mkey:{number:064x}")


def node_key(number: int) -> NodeKey:
    return NodeKey(f"nodekey:{number:064x}")


def disco_key(number: int) -> DiscoKey:
    return DiscoKey(f"discokey:{number:064x}")


def make_user(number: int = 1, **changes: Any) -> User:
    values: dict[str, Any] = {"id": UserID(number), "name": f"user{number}", "created_at": NOW}
    return User(**values | changes)


def make_node(number: int = 1, **changes: Any) -> Node:
    values: dict[str, Any] = {
        "id": NodeID(number),
        "machine_key": machine_key(number),
        "node_key": node_key(number),
        "disco_key": disco_key(number),
        "user_id": UserID(1),
        "hostname": f"node{number}",
        "given_name": f"node{number}",
        "ipv4": IPv4Address("100.64.0.0") + number,
        "ipv6": IPv6Address("fd7a:115c:a1e0::") + number,
        "created_at": NOW,
        "hostinfo": {"Hostname": f"node{number}", "OS": "linux"},
        "cap_version": 142,
    }
    if changes.get("approved_routes") and "hostinfo" not in changes:
        values["hostinfo"]["RoutableIPs"] = list(changes["approved_routes"])
    if changes.get("tags"):
        values["user_id"] = None
    return Node(**values | changes)


def make_key(number: int = 1, **changes: Any) -> tuple[PreAuthKey, str]:
    """A pre-auth key and its text."""
    text, prefix = new_secret(sha384(number.to_bytes(4, "big")).digest()[:38])
    secret = split_key(text)[1]
    values: dict[str, Any] = {
        "id": number,
        "prefix": prefix,
        "hash": hash_secret(prefix, secret),
        "user_id": UserID(1),
        "expiration": NOW + timedelta(hours=1),
        "created_at": NOW,
    }
    return PreAuthKey(**values | changes), text
