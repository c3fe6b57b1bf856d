"""Node documents and patches from records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, Raw

from acl import PeerView, SelfView
from coordinator.netmap.config import MapConfig
from coordinator.tailcfg.codec import encode, go_time
from coordinator.tailcfg.hostinfo import peer_view
from coordinator.tailcfg.node import CapMap, PeerChange, WireNode
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.snapshot import NodeRecord, shown_user

ENDPOINTS = 1
DERP = 2
PRESENCE = 4
EXPIRY = 8


def peer_json(config: MapConfig, record: NodeRecord, view: PeerView) -> bytes:
    """The whole Node as viewers get it: no machine key, and only the harmless part of Hostinfo."""
    node = record.node
    wire = _node(config, record, view.addresses, view.allowed_ips, view.primary_routes)
    wire.hostinfo = peer_view(node.hostinfo)
    if view.caps:
        wire.cap_map = {name: _values(values) for name, values in view.caps}
    wire.online = node.online and not record.expired
    if not wire.online and node.last_seen is not None:
        wire.last_seen = go_time(node.last_seen)
    return encode(wire)


def self_json(config: MapConfig, record: NodeRecord, view: SelfView) -> bytes:
    """The receiving node itself."""
    node = record.node
    wire = _node(config, record, view.addresses, view.allowed_ips, view.primary_routes)
    wire.machine = node.machine_key
    wire.hostinfo = node.hostinfo
    wire.online = True
    wire.cap_map = _capabilities(config, view.cap_map)
    return encode(wire)


def patch_json(record: NodeRecord, mask: int) -> bytes:
    """The present values of the patchable facts in `mask`."""
    node = record.node
    change = PeerChange(node_id=node.id)
    if mask & ENDPOINTS:
        change.endpoints = node.endpoints
    if mask & DERP:
        change.derp_region = node.home_derp
    if mask & PRESENCE:
        change.online = node.online and not record.expired
        if node.last_seen is not None:
            change.last_seen = go_time(node.last_seen)
    if mask & EXPIRY and node.expiry is not None:
        change.key_expiry = go_time(node.expiry)
    return encode(change)


def patch_mask(record: NodeRecord, seq: int) -> int:
    """Which patchable facts changed after `seq`."""
    return (
        (ENDPOINTS if record.endpoints_seq > seq else 0)
        | (DERP if record.derp_seq > seq else 0)
        | (PRESENCE if record.presence_seq > seq else 0)
        | (EXPIRY if record.expiry_seq > seq else 0)
    )


def _node(
    config: MapConfig,
    record: NodeRecord,
    addresses: Sequence[str],
    allowed_ips: Sequence[str],
    primary_routes: Sequence[str],
) -> WireNode:
    node: Node = record.node
    return WireNode(
        id=node.id,
        stable_id=str(node.id),
        name=config.fqdn(node.given_name),
        user=shown_user(node),
        key=node.node_key,
        key_expiry=go_time(node.expiry) if node.expiry is not None else UNSET,
        disco_key=node.disco_key if node.disco_key is not None else UNSET,
        addresses=addresses,
        allowed_ips=allowed_ips,
        endpoints=node.endpoints or UNSET,
        home_derp=node.home_derp or UNSET,
        legacy_derp=f"127.3.3.40:{node.home_derp}" if node.home_derp else UNSET,
        hostinfo={},
        created=go_time(node.created_at),
        cap=node.cap_version or UNSET,
        tags=node.tags or UNSET,
        primary_routes=primary_routes or UNSET,
        machine_authorized=node.approved,
        expired=True if record.expired else UNSET,
    )


def _values(values: Sequence[str] | None) -> list[Raw] | None:
    """Capability values are kept as JSON texts."""
    return None if values is None else [Raw(value.encode()) for value in values]


def _capabilities(config: MapConfig, policy: Mapping[str, Any]) -> CapMap:
    merged: dict[str, Any] = dict(config.capabilities)
    merged.update(policy)
    return merged
