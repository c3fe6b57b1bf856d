"""Gateways and peers with sensible values, and keys that really are some."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from coordinator.wireguard.model import Gateway, GatewayKey, Peer, PeerKey
from coordinator.wireguard.pools import parse_pool

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)


def public_key(number: int | str) -> str:
    """A usable public key, the same for the same argument."""
    raw = bytearray(sha256(str(number).encode()).digest())
    raw[31] &= 0x7F
    return b64encode(bytes(raw)).decode()


def gateway_key(number: int = 1, **more: Any) -> GatewayKey:
    """A key that was reported."""
    values = {
        "key_id": f"k{number}",
        "interface": f"wg{number - 1}",
        "listen_port": 51819 + number,
        "since": NOW,
        "public_key": public_key(f"gateway {number}"),
    }
    return GatewayKey(**{**values, **more})


def make_gateway(number: int = 1, **more: Any) -> Gateway:
    """A gateway with 10.90.0.0/24 and fd00:90::/64."""
    values: dict[str, Any] = {
        "id": number,
        "name": f"gw{number}",
        "host": "vpn.example.com",
        "pools": (parse_pool(["10.90.0.0/24", "fd00:90::/64"]),),
        "addresses": (f"10.90.0.{number}", f"fd00:90::{number}"),
        "keys": (gateway_key(),),
        "token_prefix": "0" * 12,
        "token_hash": bytes(32),
        "created_at": NOW,
        "created_by": "socket:test",
    }
    return Gateway(**{**values, **more})


def make_peer(number: int = 1, **more: Any) -> Peer:
    """A standing peer of the first gateway with one key."""
    values: dict[str, Any] = {
        "id": number,
        "name": f"peer{number}",
        "gateway_id": 1,
        "addresses": (f"10.90.0.{number + 9}", f"fd00:90::{number + 9:x}"),
        "keys": (PeerKey(public_key=public_key(number), since=NOW),),
        "basis": "standing",
        "created_at": NOW,
        "created_by": "socket:test",
        "since": NOW,
        "service": "lab",
    }
    return Peer(**{**values, **more})


def rotated(peer: Peer, number: int | str, until: datetime) -> Peer:
    """With a second key, the first valid until a moment."""
    old = tuple(replace(key, until=until) for key in peer.keys)
    return replace(peer, keys=(*old, PeerKey(public_key=public_key(number), since=NOW)))
