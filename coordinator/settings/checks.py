"""What only several keys together can get wrong, and what is allowed but deserves a remark.

Called by `load` with the converted values. A check that needs a value which did not convert is left out: that
value has its own problem already.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from coordinator.settings.names import plain_http_works

Values = Mapping[str, Any]
Say = Callable[[str, str], None]
"""Takes the path of a key and a sentence about it."""

SOCKET_PATH_BYTES = 107
"""Linux keeps 108 bytes for the path of a unix socket, the last of them zero."""
SHORTEST_FETCH = timedelta(minutes=1)
SHORTEST_ABSENCE = timedelta(seconds=65)
"""A healthy client may stay silent this long; an ephemeral node must not be removed meanwhile."""
LONGEST_REST = timedelta(hours=24)
MOST_ATTEMPTS = 1_000_000
LONGEST_WINDOW = timedelta(seconds=5)
CLIENT_RANGES = {4: ip_network("100.64.0.0/10"), 6: ip_network("fd7a:115c:a1e0::/48")}
"""Where clients expect addresses of a tailnet. Source: tailscale net/tsaddr/tsaddr.go."""
_REQUIRED_PATHS = (
    "noise.private_key_path",
    "derp.server.private_key_path",
    "unix_socket",
    "database.sqlite.path",
)


def check_together(values: Values, problem: Say, notice: Say) -> None:
    """Run every check on what could be converted."""
    for check in (
        _listeners,
        _prefixes,
        _tailnet_listener,
        _paths,
        _relay,
        _relay_maps,
        _timing,
        _database,
        _base_domain,
        _nameservers,
    ):
        try:
            check(values, problem)
        except KeyError:
            continue  # one of its values is wrong, which has been said
    for remark in (_remark_on_prefixes, _remark_on_plain_http):
        try:
            remark(values, notice)
        except KeyError:
            continue


def _listeners(values: Values, problem: Say) -> None:
    if values["listen_addr"] is None:
        problem("listen_addr", "an address is needed")
        return
    if bool(values["tls_cert_path"]) != bool(values["tls_key_path"]):
        problem("tls_cert_path", "tls_cert_path and tls_key_path go together")
    plain = values["server_url"].startswith("http://")
    taken = {
        path: values[path] for path in ("listen_addr", "metrics_listen_addr", "access.tailnet_listen_addr")
    }
    if values["derp.server.enabled"] and plain:
        taken["derp.server.tls_listen_addr"] = values["derp.server.tls_listen_addr"]
    seen: list[str] = []
    for path, address in taken.items():
        if address is None or address[1] == 0:
            continue
        for other in seen:
            if _collide(address, taken[other]):
                problem(path, f"port {address[1]} is taken by `{other}` already")
        seen.append(path)


def _collide(one: tuple[str, int], other: tuple[str, int]) -> bool:
    everywhere = ("0.0.0.0", "::")
    same_host = one[0] == other[0] or one[0] in everywhere or other[0] in everywhere
    return same_host and one[1] == other[1]


def _prefixes(values: Values, problem: Say) -> None:
    if values["prefixes.v4"] is None and values["prefixes.v6"] is None:
        problem("prefixes.v4", "one of prefixes.v4 and prefixes.v6 is needed")


def _tailnet_listener(values: Values, problem: Say) -> None:
    """Elsewhere than on an address of the tailnet, source addresses would prove nothing."""
    address = values["access.tailnet_listen_addr"]
    if address is None:
        return
    prefixes = [values[path] for path in ("prefixes.v4", "prefixes.v6") if values[path] is not None]
    try:
        found = ip_address(address[0])
    except ValueError:
        found = None
    if found is None or not any(found in prefix for prefix in prefixes):
        shown = " or ".join(str(prefix) for prefix in prefixes)
        problem(
            "access.tailnet_listen_addr",
            f"`{address[0]}` is no address of the tailnet: give the one this server's machine has in {shown}",
        )


def _paths(values: Values, problem: Say) -> None:
    for path in _REQUIRED_PATHS:
        if values[path] is None:
            problem(path, "a path is needed")
    socket = values["unix_socket"]
    if socket is not None and len(os.fsencode(socket)) > SOCKET_PATH_BYTES:
        problem(
            "unix_socket", f"`{socket}` is longer than {SOCKET_PATH_BYTES} bytes, which sockets cannot have"
        )
    if values["dns.extra_records_path"] is not None and values["dns.extra_records"]:
        problem("dns.extra_records_path", "give dns.extra_records or dns.extra_records_path, not both")


def _relay(values: Values, problem: Say) -> None:
    if not values["derp.server.enabled"]:
        return
    key_path = values["derp.server.private_key_path"]
    if key_path is not None and key_path == values["noise.private_key_path"]:
        problem("derp.server.private_key_path", "must not be the noise key")
    if values["derp.server.stun_listen_addr"] is None:
        problem("derp.server.stun_listen_addr", "an address is needed with the embedded relay")
    if not 1 <= values["derp.server.region_id"] <= 9999:
        problem("derp.server.region_id", "must be a number from 1 to 9999")
    if values["derp.server.tls_listen_addr"] is None:
        return
    for path in ("derp.server.tls_cert_path", "derp.server.tls_key_path"):
        if values[path] is None:
            problem(path, "a path is needed with derp.server.tls_listen_addr")


def _relay_maps(values: Values, problem: Say) -> None:
    for url in values["derp.urls"]:
        if not url.startswith(("https://", "http://")):
            problem("derp.urls", f"`{url}` is no http or https address; files belong into `derp.paths`")
    if values["derp.auto_update_enabled"] and values["derp.update_frequency"] < SHORTEST_FETCH:
        problem("derp.update_frequency", "must be at least 1m: the maps are somebody else's")


def _timing(values: Values, problem: Say) -> None:
    if values["node.ephemeral.inactivity_timeout"] <= SHORTEST_ABSENCE:
        problem(
            "node.ephemeral.inactivity_timeout", "must be longer than 65s, or short absences remove nodes"
        )
    if not timedelta() <= values["node.ephemeral.address_rest"] <= LONGEST_REST:
        problem("node.ephemeral.address_rest", "must be between 0 and 24h")
    for name in ("address_burst", "address_per_minute", "machine_burst", "machine_per_minute"):
        if not 1 <= values[f"rate_limits.{name}"] <= MOST_ATTEMPTS:
            problem(f"rate_limits.{name}", f"must be a number from 1 to {MOST_ATTEMPTS}")
    if not 1 <= values["wireguard.peers_per_user"] <= MOST_ATTEMPTS:
        problem("wireguard.peers_per_user", f"must be a number from 1 to {MOST_ATTEMPTS}")
    for tag in values["node.approval_exempt_tags"]:
        if not tag.startswith("tag:"):
            problem("node.approval_exempt_tags", f"`{tag}` must begin with tag:")
    if values["tuning.batch_change_delay"] > LONGEST_WINDOW:
        problem("tuning.batch_change_delay", "must be 5s or less")


def _database(values: Values, problem: Say) -> None:
    if values["database.type"] != "postgres":
        return
    for name in ("host", "name", "user"):
        if not values[f"database.postgres.{name}"]:
            problem(f"database.postgres.{name}", "is needed with database.type postgres")
    if not 1 <= values["database.postgres.port"] <= 65535:
        problem("database.postgres.port", "must be a number from 1 to 65535")


def _base_domain(values: Values, problem: Say) -> None:
    base = values["dns.base_domain"].lower()
    if values["dns.magic_dns"] and not base:
        problem("dns.base_domain", "is needed with dns.magic_dns")
    host = urlsplit(values["server_url"]).hostname or ""
    if base and (host == base or host.endswith("." + base)):
        problem(
            "dns.base_domain", f"must not contain the server's own host `{host}`, or clients lose the server"
        )


def _nameservers(values: Values, problem: Say) -> None:
    if values["dns.override_local_dns"] and not values["dns.nameservers.global"]:
        problem("dns.nameservers.global", "at least one server is needed with dns.override_local_dns")


def _remark_on_prefixes(values: Values, notice: Say) -> None:
    for path in ("prefixes.v4", "prefixes.v6"):
        prefix = values[path]
        if prefix is not None and not prefix.subnet_of(CLIENT_RANGES[prefix.version]):
            expected = CLIENT_RANGES[prefix.version]
            notice(path, f"{prefix} is outside {expected}, the range clients expect; some features may fail")


def _remark_on_plain_http(values: Values, notice: Say) -> None:
    url = values["server_url"]
    host = urlsplit(url).hostname or ""
    if not url.startswith("http://"):
        return
    if not plain_http_works(host):
        notice(
            "server_url",
            f"clients that are given plain http for `{host}` dial port 443 when they reconnect; use https "
            "(plain http is for localhost and private IPv4 addresses)",
        )
    if values["tls_cert_path"] is not None:
        notice("server_url", "begins with http:// although tls_cert_path makes the listener speak TLS")
