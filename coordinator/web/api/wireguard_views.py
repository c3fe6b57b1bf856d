"""Plain WireGuard as JSON: ids are texts, times RFC 3339 or null; hashes and preshared keys stay inside."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from coordinator.services.wireguard_knocks import Knocking
from coordinator.services.wireguard_observation import GatewayState
from coordinator.tailcfg.codec import go_time
from coordinator.tailnet.bearer_tokens import ENROLMENT_TOKEN, GATEWAY_TOKEN
from coordinator.wireguard.device_config import DeviceConfig, wg_quick
from coordinator.wireguard.model import EnrolmentToken, Gateway, Peer, Seen
from coordinator.wireguard.wish import Opening


def gateway_view(gateway: Gateway, state: GatewayState, wished: str, peers: int) -> dict[str, Any]:
    """A gateway. `in_step`: it reports exactly what it should be."""
    return {
        "id": str(gateway.id),
        "name": gateway.name,
        "host": gateway.host,
        "pools": [{"team": pool.team, "networks": list(pool.networks)} for pool in gateway.pools],
        "addresses": list(gateway.addresses),
        "keys": [
            {
                "key_id": key.key_id,
                "public_key": key.public_key,
                "interface": key.interface,
                "listen_port": key.listen_port,
                "since": go_time(key.since),
                "until": _time(key.until),
            }
            for key in gateway.keys
        ],
        "mtu": gateway.mtu,
        "dns": list(gateway.dns),
        "keepalive": gateway.keepalive,
        "masquerade": gateway.masquerade,
        "tailnet": gateway.tailnet,
        "profiles": list(gateway.profiles),
        "rotate_days": gateway.rotate_days,
        "token": f"{GATEWAY_TOKEN}{gateway.token_prefix}-***",
        "created_at": go_time(gateway.created_at),
        "created_by": gateway.created_by,
        "peers": peers,
        "last_report": _time(state.last_report),
        "agent": state.agent,
        "clock_skew_seconds": round(state.skew.total_seconds(), 1),
        "in_step": bool(state.version) and state.version == wished,
    }


def peer_view(
    peer: Peer,
    state: str,
    gateway: str,
    user: str,
    opening: Opening | None,
    seen: Seen | None,
    knocking: Knocking | None = None,
) -> dict[str, Any]:
    """A peer."""
    return {
        "id": str(peer.id),
        "name": peer.name,
        "state": state,
        "gateway": gateway,
        "user": user,
        "service": peer.service,
        "profile": peer.profile,
        "access_request": None if peer.access_id is None else str(peer.access_id),
        "basis": peer.basis,
        "team": peer.team,
        "addresses": list(peer.addresses),
        "keys": [
            {
                "public_key": key.public_key,
                "since": go_time(key.since),
                "until": _time(key.until),
                "preshared_since": _time(key.preshared_since) if key.preshared else None,
                "preshared_unreadable": key.unreadable,
            }
            for key in peer.keys
        ],
        "reason": peer.reason,
        "since": go_time(peer.since),
        "until": _time(peer.until),
        "opens_at": None if opening is None else go_time(opening.not_before),
        "closes_at": None if opening is None else _time(opening.not_after),
        "created_at": go_time(peer.created_at),
        "created_by": peer.created_by,
        "ended_at": _time(peer.ended_at),
        "ended_by": peer.ended_by,
        "end_reason": peer.end_reason,
        "declared": peer.declared,
        **seen_view(seen),
        "knocking": None if knocking is None else knocking_view(knocking),
    }


def knocking_view(knocking: Knocking) -> dict[str, Any]:
    """Handshakes that are tried while nothing is open."""
    return {
        "since": go_time(knocking.since),
        "last": go_time(knocking.last),
        "endpoint": knocking.endpoint,
        "count": knocking.count,
    }


def seen_view(seen: Seen | None) -> dict[str, Any]:
    """What was last seen of a peer."""
    return {
        "connected": seen is not None and seen.connected,
        "last_handshake": None if seen is None else _time(seen.latest_handshake),
        "endpoint": "" if seen is None else seen.endpoint,
        "received_bytes": 0 if seen is None else seen.received_bytes,
        "sent_bytes": 0 if seen is None else seen.sent_bytes,
        "refused_packets": 0 if seen is None else seen.refused_packets,
    }


def config_view(config: DeviceConfig) -> dict[str, Any]:
    """What the device needs, as fields and as a file; shown to whoever made the peer, or may make it."""
    return {
        "public_key": config.public_key,
        "addresses": list(config.addresses),
        "dns": list(config.dns),
        "mtu": config.mtu,
        "gateway_public_key": config.gateway_key,
        "endpoint": config.endpoint,
        "allowed_ips": list(config.allowed_ips),
        "persistent_keepalive": config.keepalive,
        "preshared_key": config.preshared_key,
        "wg_quick": wg_quick(config),
    }


def token_view(token: EnrolmentToken, state: str, user: str) -> dict[str, Any]:
    """An enrolment token, without its secret."""
    return {
        "id": str(token.id),
        "token": f"{ENROLMENT_TOKEN}{token.prefix}-***",
        "state": state,
        "user": user,
        "service": token.service,
        "profile": token.profile,
        "gateway": token.gateway,
        "permanent": token.standing,
        "until": _time(token.until),
        "reason": token.reason,
        "created_at": go_time(token.created_at),
        "created_by": token.created_by,
        "expires_at": go_time(token.expires_at),
        "used_at": _time(token.used_at),
        "peer": None if token.peer_id is None else str(token.peer_id),
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else go_time(moment)
