"""Hostinfo: what a client tells of its machine, and the few parts of it other nodes may learn.

The document is kept as a plain dict: most of it we only store, and newer clients add fields.
Source: tailscale tailcfg/tailcfg.go (Hostinfo, NetInfo).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

Hostinfo = Mapping[str, Any]

PEER_FIELDS = (
    "OS",
    "Hostname",
    "Services",
    "sshHostKeys",
    "Location",
    "ShareeNode",
    "AppConnector",
    "ExitNodeID",
    "PeerRelay",
)
"""What viewers get: the rest is private, volatile or useless to them, and would defeat shared encodings."""

MAX_ROUTES = 4096
MAX_REGION = 1 << 31


def hostname(info: Hostinfo) -> str:
    """The machine's own name for itself; "" when it gave none."""
    name = info.get("Hostname")
    return name if isinstance(name, str) else ""


def operating_system(info: Hostinfo) -> str:
    """`linux`, `windows`, `macOS` …; "" when it did not say."""
    name = info.get("OS")
    return name if isinstance(name, str) else ""


def request_tags(info: Hostinfo) -> tuple[str, ...]:
    """Tags asked for with `--advertise-tags`, in the client's order."""
    return _strings(info, "RequestTags")


def routable_ips(info: Hostinfo) -> tuple[str, ...]:
    """Advertised routes in canonical form; entries that are no prefix are left out."""
    routes: list[str] = []
    for text in _strings(info, "RoutableIPs")[:MAX_ROUTES]:
        try:
            routes.append(str(ip_network(text, strict=False)))
        except ValueError:
            continue
    return tuple(dict.fromkeys(routes))


def preferred_derp(info: Hostinfo) -> int | None:
    """The region chosen as home relay, or None when this Hostinfo does not say."""
    net_info = info.get("NetInfo")
    if not isinstance(net_info, Mapping):
        return None
    region = net_info.get("PreferredDERP")
    return region if isinstance(region, int) and 0 < region <= MAX_REGION else None


def peer_view(info: Hostinfo) -> dict[str, Any]:
    """The part other nodes may see."""
    return {name: info[name] for name in PEER_FIELDS if name in info}


def merge(previous: Hostinfo, update: Hostinfo) -> dict[str, Any]:
    """The newer document, with the former NetInfo kept when the newer has none (else HomeDERP would flip to
    0).
    """
    merged = dict(update)
    if "NetInfo" not in merged and "NetInfo" in previous:
        merged["NetInfo"] = previous["NetInfo"]
    return merged


def _strings(info: Hostinfo, name: str) -> tuple[str, ...]:
    values = info.get(name)
    if not isinstance(values, list | tuple):
        return ()
    return tuple(value for value in values if isinstance(value, str))
