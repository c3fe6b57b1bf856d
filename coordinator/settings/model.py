"""The settings as a frozen tree of typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from urllib.parse import urlsplit

from coordinator.settings.oidc import OIDC
from coordinator.settings.secret import Secret
from coordinator.settings.webhooks import AccessWebhook

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """`derp.server.*`."""

    enabled: bool
    region_id: int
    region_code: str
    region_name: str
    verify_clients: bool
    stun_listen_addr: Address | None
    private_key_path: Path
    in_map: bool
    ipv4: str
    ipv6: str
    tls_listen_addr: Address | None
    tls_cert_path: Path
    tls_key_path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """`database.*`."""

    kind: str
    debug: bool
    sqlite_path: Path
    write_ahead_log: bool
    host: str
    port: int
    name: str
    user: str
    password: Secret
    ssl: str
    max_connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """`audit.*`: where entries go besides the database.

    `syslog` is (unix, udp or tcp; a path, or host and port).
    """

    file_path: Path | None
    syslog: tuple[str, Path | Address] | None
    https_url: str
    https_token: Secret
    retention: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class DNS:
    """`dns.*`."""

    magic_dns: bool
    base_domain: str
    override_local_dns: bool
    nameservers: tuple[str, ...]
    split: Mapping[str, tuple[str, ...]]
    search_domains: tuple[str, ...]
    extra_records: tuple[Mapping[str, str], ...]
    extra_records_path: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Whether new nodes wait for an administrator, and which do not."""

    required: bool
    exempt_users: tuple[str, ...]
    exempt_tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitValues:
    """How many failed attempts at once, and how many more a minute."""

    enabled: bool
    address_burst: int
    address_per_minute: int
    machine_burst: int
    machine_per_minute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainWireGuard:
    """`wireguard.*`."""

    address_rest: timedelta
    peers_per_user: int
    unused_after: timedelta
    stale_after: timedelta
    key_age: timedelta
    keep_ended: timedelta
    alerts_url: str
    alerts_token: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything `coordinator serve` and the command line need to know."""

    server_url: str
    listen_addr: Address
    metrics_listen_addr: Address | None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    noise_private_key_path: Path
    id_token_key_path: Path
    prefix_v4: IPv4Network | None
    prefix_v6: IPv6Network | None
    random_allocation: bool
    relay: Relay
    derp_paths: tuple[Path, ...]
    derp_urls: tuple[str, ...]
    derp_refresh: timedelta | None
    """How often they are fetched; None: once."""
    node_expiry: timedelta
    node_expiry_notice: timedelta
    ephemeral_inactivity: timedelta
    address_rest: timedelta
    rotation_age: timedelta
    """Zero: keys do not get too old."""
    approval: Approval
    rate_limits: RateLimitValues
    database: Database
    tls_cert_path: Path | None
    tls_key_path: Path | None
    log_level: str
    log_format: str
    audit: Audit
    access_webhooks: tuple[AccessWebhook, ...]
    access_tailnet_listen_addr: Address | None
    policy_in_database: bool
    policy_path: Path | None
    associated_domains: tuple[str, ...] | None
    """None: any."""
    dns: DNS
    oidc: OIDC
    wireguard: PlainWireGuard
    unix_socket: Path
    unix_socket_permission: int
    logtail_enabled: bool
    taildrop_enabled: bool
    auto_update_enabled: bool
    cli_address: str
    cli_api_key: Secret
    cli_insecure: bool
    cli_timeout: timedelta
    coalescing_window: timedelta

    @property
    def server_host(self) -> str:
        """Host of server_url."""
        return urlsplit(self.server_url).hostname or ""

    @property
    def server_port(self) -> int:
        """Port of server_url, explicit or by scheme."""
        parts = urlsplit(self.server_url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def plain_http(self) -> bool:
        """Whether clients reach the server without TLS."""
        return self.server_url.startswith("http://")
