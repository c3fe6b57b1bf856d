"""MapRequest: polls, lite updates and one-shots.

| mode | Stream | OmitPeers |
|---|---|---|
| poll | true | false |
| lite update | false or absent | true |
| one-shot | false | false |

Source: tailscale tailcfg/tailcfg.go (MapRequest).
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import msgspec

MAX_ENDPOINTS = 30
ZSTD = "zstd"
"""What `compress` says where map messages may be compressed."""
MAX_VERSION = 1 << 31
"""Far above any client; a larger number is somebody's joke and would not fit a column."""


class MapRequest(
    msgspec.Struct,
    rename={
        "version": "Version",
        "compress": "Compress",
        "keep_alive": "KeepAlive",
        "node_key": "NodeKey",
        "disco_key": "DiscoKey",
        "stream": "Stream",
        "omit_peers": "OmitPeers",
        "read_only": "ReadOnly",
        "hostinfo": "Hostinfo",
        "endpoints": "Endpoints",
        "endpoint_types": "EndpointTypes",
    },
):
    """What a client sends to `/machine/map`; unknown fields are ignored."""

    version: int = 0
    compress: str = ""
    keep_alive: bool = False
    node_key: str = ""
    disco_key: str | None = None
    stream: bool = False
    omit_peers: bool = False
    read_only: bool = False
    hostinfo: dict[str, Any] | None = None
    endpoints: list[str] | None = None
    endpoint_types: list[int] | None = None


def usable_endpoints(endpoints: list[str] | None) -> tuple[str, ...]:
    """Endpoints worth telling others: valid, without zones and link-local IPv6, at most 30, order kept."""
    kept: list[str] = []
    for text in endpoints or ():
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
            continue
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        try:
            address = ip_address(host)
        except ValueError:
            continue
        if address.version == 6 and (address.is_link_local or "%" in host):
            continue
        kept.append(f"[{address}]:{int(port)}" if address.version == 6 else f"{address}:{int(port)}")
    return tuple(dict.fromkeys(kept))[:MAX_ENDPOINTS]
