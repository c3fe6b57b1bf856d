"""Every configuration key: its kind, its default, and whether it has an effect here.

The table is the single source of what is accepted, of the notices for keys without effect, and of
`docs/configuration.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `kind` names a converter of `settings.convert`; without `effect` it gets a notice."""

    path: str
    kind: str
    default: Any
    about: str
    effect: bool = True
    choices: Sequence[str] = ()


def _no_effect(path: str, kind: str, default: Any, about: str) -> Key:
    return Key(path, kind, default, about, effect=False)


_KEYS = (
    Key("server_url", "url", None, "The address clients use, http or https. Required."),
    Key("listen_addr", "addr", "127.0.0.1:8080", "Where the main listener binds."),
    Key("metrics_listen_addr", "addr", "", "Where /metrics is served; empty for nowhere."),
    Key(
        "trusted_proxies",
        "prefixes",
        (),
        "Proxies, by address or prefix, whose X-Forwarded-For, X-Real-IP and X-Forwarded-Proto are believed.",
    ),
    _no_effect("grpc_listen_addr", "addr", ":50443", "gRPC of older command lines."),
    _no_effect("grpc_allow_insecure", "bool", False, "gRPC without TLS."),
    Key(
        "noise.private_key_path",
        "path",
        "noise_private.key",
        "The server's key; created when missing. Back it up.",
    ),
    Key(
        "id_tokens.private_key_path",
        "path",
        "",
        "Key that signs identity tokens of machines; created when missing. Empty: `id_token_private.pem` "
        "beside the server's key. Not a headscale key.",
    ),
    Key("prefixes.v4", "prefix4", "100.64.0.0/10", "IPv4 addresses of nodes; empty for none."),
    Key("prefixes.v6", "prefix6", "fd7a:115c:a1e0::/48", "IPv6 addresses of nodes; empty for none."),
    Key(
        "prefixes.allocation",
        "choice",
        "sequential",
        "How addresses are given.",
        choices=("sequential", "random"),
    ),
    Key("derp.server.enabled", "bool", False, "Run the embedded relay."),
    Key("derp.server.region_id", "int", 999, "Its region; 900-999 are meant for own relays."),
    Key("derp.server.region_code", "text", "headscale", "Short name of the region."),
    Key("derp.server.region_name", "text", "Embedded DERP", "Long name of the region."),
    Key("derp.server.verify_clients", "bool", True, "Only nodes of this tailnet may relay."),
    Key("derp.server.stun_listen_addr", "addr", "0.0.0.0:3478", "Where STUN is answered (UDP)."),
    Key(
        "derp.server.private_key_path",
        "path",
        "derp_server_private.key",
        "The relay's key; created when missing.",
    ),
    Key(
        "derp.server.automatically_add_embedded_derp_region", "bool", True, "Put the relay into the DERP map."
    ),
    Key("derp.server.ipv4", "address4", "", "Published IPv4 address of the relay."),
    Key("derp.server.ipv6", "address6", "", "Published IPv6 address of the relay."),
    Key(
        "derp.server.tls_listen_addr",
        "addr",
        "0.0.0.0:3443",
        "A TLS listener for the relay when server_url is plain http; empty for none. Not a headscale key.",
    ),
    Key(
        "derp.server.tls_cert_path",
        "path",
        "derp_cert.pem",
        "Its self-signed certificate; created when missing.",
    ),
    Key("derp.server.tls_key_path", "path", "derp_key.pem", "The key of that certificate."),
    Key("derp.urls", "strings", (), "DERP maps fetched from these addresses, as JSON."),
    Key("derp.paths", "paths", (), "DERP maps read from local YAML or JSON files."),
    Key("derp.auto_update_enabled", "bool", False, "Fetch them again and again."),
    Key("derp.update_frequency", "duration", "3h", "How often; at least a minute."),
    _no_effect("disable_check_updates", "bool", False, "There is no update check."),
    Key("node.expiry", "duration", "0", "Key lifetime of untagged nodes; 0 for no end."),
    Key("node.expiry_notice", "duration", "72h", "How long before its key expires a client warns; 0: never."),
    Key("node.ephemeral.inactivity_timeout", "duration", "30m", "How long an ephemeral node may stay away."),
    Key(
        "node.ephemeral.address_rest",
        "duration",
        "10m",
        "How long addresses of ephemeral nodes rest before another node gets them; 0 for not at all."
        " Not a headscale key.",
    ),
    Key(
        "node.approval_required",
        "bool",
        False,
        "New nodes see nobody until `nodes approve`. Not a headscale key.",
    ),
    Key(
        "node.approval_exempt_users",
        "strings",
        (),
        "Users, by name or e-mail, whose nodes need no approval. Not a headscale key.",
    ),
    Key(
        "node.approval_exempt_tags",
        "strings",
        (),
        "Nodes that have only such tags need no approval. Not a headscale key.",
    ),
    Key(
        "inventory.rotation_age",
        "duration",
        "180d",
        "From which age on `inventory report` wants a key replaced; 0: from none. Not a headscale key.",
    ),
    Key("rate_limits.enabled", "bool", True, "Limit failed attempts. Not a headscale key."),
    Key(
        "rate_limits.address_burst",
        "int",
        300,
        "Wrong keys, begun logins and wrong login pages at once from one address. Not a headscale key.",
    ),
    Key("rate_limits.address_per_minute", "int", 60, "How many more a minute. Not a headscale key."),
    Key(
        "rate_limits.machine_burst",
        "int",
        20,
        "Refused registrations and begun logins of one machine at once. Not a headscale key.",
    ),
    Key("rate_limits.machine_per_minute", "int", 20, "How many more a minute. Not a headscale key."),
    Key(
        "wireguard.address_rest",
        "duration",
        "1h",
        "How long addresses of revoked plain WireGuard peers rest. Not a headscale key.",
    ),
    Key(
        "wireguard.peers_per_user",
        "int",
        10,
        "Plain WireGuard devices somebody may bring without an administrator. Not a headscale key.",
    ),
    Key(
        "wireguard.unused_after",
        "duration",
        "30d",
        "Peers whose profile was not open for so long end; 0 for never. Not a headscale key.",
    ),
    Key(
        "wireguard.stale_after",
        "duration",
        "30d",
        "Alert for a key that has no handshake for so long; 0 for never. Not a headscale key.",
    ),
    Key(
        "wireguard.key_age",
        "duration",
        "180d",
        "Alert for a key that is older; 0 for never. Not a headscale key.",
    ),
    Key(
        "wireguard.keep_ended",
        "duration",
        "90d",
        "How long records of ended peers and tokens are kept; 0 for ever. Not a headscale key.",
    ),
    Key(
        "wireguard.alerts_url",
        "webhook",
        "",
        "Alerts about plain WireGuard as JSON lines in POST requests to this URL. Not a headscale key.",
    ),
    Key("wireguard.alerts_token", "secret", "", "Bearer token of these requests. Not a headscale key."),
    _no_effect("node.routes.ha.probe_interval", "duration", "10s", "Probing of subnet routers."),
    _no_effect("node.routes.ha.probe_timeout", "duration", "5s", "Probing of subnet routers."),
    _no_effect("preauth_keys.revoked_retention", "duration", "168h", "How long revoked keys are kept."),
    Key("database.type", "choice", "sqlite", "The database.", choices=("sqlite", "sqlite3", "postgres")),
    Key("database.debug", "bool", False, "Log SQL."),
    _no_effect("database.gorm.prepare_stmt", "bool", True, "A detail of another implementation."),
    _no_effect("database.gorm.parameterized_queries", "bool", True, "A detail of another implementation."),
    _no_effect(
        "database.gorm.skip_err_record_not_found", "bool", True, "A detail of another implementation."
    ),
    _no_effect("database.gorm.slow_threshold", "int", 1000, "A detail of another implementation."),
    Key("database.sqlite.path", "path", "db.sqlite", "The SQLite file."),
    Key("database.sqlite.write_ahead_log", "bool", True, "WAL mode."),
    _no_effect("database.sqlite.wal_autocheckpoint", "int", 1000, "Pages between checkpoints."),
    Key("database.postgres.host", "text", "", "Host or socket directory."),
    Key("database.postgres.port", "int", 5432, "Port."),
    Key("database.postgres.name", "text", "", "Database."),
    Key("database.postgres.user", "text", "", "Role."),
    Key("database.postgres.pass", "secret", "", "Password."),
    Key("database.postgres.ssl", "text", "false", "true, false, or an sslmode such as require."),
    Key("database.postgres.max_open_conns", "int", 10, "Connections at most."),
    _no_effect("database.postgres.max_idle_conns", "int", 10, "Idle connections kept."),
    _no_effect("database.postgres.conn_max_idle_time_secs", "int", 3600, "How long they are kept."),
    _no_effect(
        "acme_url", "text", "https://acme-v02.api.letsencrypt.org/directory", "Automatic certificates."
    ),
    _no_effect("acme_email", "text", "", "Automatic certificates."),
    _no_effect("tls_letsencrypt_hostname", "text", "", "Automatic certificates; use tls_cert_path."),
    _no_effect("tls_letsencrypt_cache_dir", "text", "/var/lib/headscale/cache", "Automatic certificates."),
    _no_effect("tls_letsencrypt_challenge_type", "text", "HTTP-01", "Automatic certificates."),
    _no_effect("tls_letsencrypt_listen", "text", ":http", "Automatic certificates."),
    Key("tls_cert_path", "path", "", "Certificate of the main listener; empty for plain http."),
    Key("tls_key_path", "path", "", "Its key."),
    Key(
        "log.level",
        "choice",
        "info",
        "How much is logged.",
        choices=("trace", "debug", "info", "warn", "error", "fatal", "panic"),
    ),
    Key("log.format", "choice", "text", "text or json.", choices=("text", "json")),
    Key("audit.file.path", "path", "", "Audit entries as JSON lines in this file too. Not a headscale key."),
    Key(
        "audit.syslog.address",
        "syslog",
        "",
        "Audit entries to syslog (RFC 5424) too: unix:/dev/log, udp:host:514 or tcp:host:601. "
        "Not a headscale key.",
    ),
    Key(
        "audit.https.url",
        "webhook",
        "",
        "Audit entries as JSON lines in POST requests to this URL too. Not a headscale key.",
    ),
    Key("audit.https.token", "secret", "", "Bearer token of these requests. Not a headscale key."),
    Key(
        "audit.retention",
        "duration",
        "0",
        "How long audit entries stay in the database; 0 for ever. Not a headscale key.",
    ),
    Key(
        "access.webhooks",
        "mappings",
        (),
        "Where requests for access are told and answered: mappings of kind (slack, mattermost, generic),"
        " name, url, secret, users, events, links; see docs/jit.md. Not a headscale key.",
    ),
    Key(
        "access.tailnet_listen_addr",
        "addr",
        "",
        "Where people ask for access through the tailnet, known by their machine's address: the tailnet "
        "address of this server's own machine, such as 100.64.0.1:8082. Empty: nowhere. Not a headscale key.",
    ),
    Key("policy.mode", "choice", "file", "Where the policy lives.", choices=("file", "database", "db")),
    Key(
        "policy.associated_domains",
        "domains",
        (),
        "E-mail domains `user:*@domain` and `localpart:*@domain` may name; empty: any.",
    ),
    Key("policy.path", "path", "", "The HuJSON policy in file mode; empty allows everything."),
    Key("dns.magic_dns", "bool", True, "Resolve node names."),
    Key("dns.base_domain", "domain", "", "Suffix of node names; required with magic_dns."),
    Key("dns.override_local_dns", "bool", True, "Global name servers replace the system's own."),
    Key("dns.nameservers.global", "nameservers", (), "Name servers: addresses or DoH URLs."),
    Key("dns.nameservers.split", "split", {}, "Name servers by suffix."),
    Key("dns.search_domains", "domains", (), "More search domains."),
    Key("dns.extra_records", "records", (), "A and AAAA records: name, type, value."),
    Key("dns.extra_records_path", "path", "", "More such records, a JSON array in a file; watched."),
    Key(
        "unix_socket",
        "path",
        "/var/run/headscale/headscale.sock",
        "Where the command line reaches the server.",
    ),
    Key("unix_socket_permission", "mode", "0o770", "Mode of that socket."),
    Key("oidc.issuer", "text", "", "URL of the identity provider people log in with; empty: nobody does."),
    Key("oidc.client_id", "text", "", "What the provider calls this server."),
    Key("oidc.client_secret", "secret", "", "Its secret there; empty for a public client."),
    Key("oidc.client_secret_path", "text", "", "File with that secret; `$VARIABLE` is replaced."),
    Key(
        "oidc.only_start_if_oidc_is_available",
        "bool",
        True,
        "Refuse to start while a provider does not answer; else machines are let in by the command line.",
    ),
    Key("oidc.scope", "strings", ("openid", "profile", "email"), "What is asked for."),
    Key("oidc.extra_params", "map", {}, "More parameters of the authorization URL."),
    Key("oidc.allowed_domains", "strings", (), "E-mail domains that may log in; empty: any."),
    Key("oidc.allowed_users", "strings", (), "E-mail addresses that may log in; empty: any."),
    Key("oidc.allowed_groups", "strings", (), "Groups of the claim one of which is needed; empty: none."),
    Key("oidc.email_verified_required", "bool", True, "Believe only e-mail addresses the provider verified."),
    Key("oidc.use_expiry_from_token", "bool", False, "A node's key expires with the ID token."),
    Key("oidc.pkce.enabled", "bool", False, "Require PKCE, and ask for offline access."),
    Key("oidc.pkce.method", "text", "S256", "S256 or plain."),
    Key(
        "oidc.groups.claim", "text", "groups", "Path of the claim with a user's groups. Not a headscale key."
    ),
    Key("oidc.groups.prefix", "text", "", "Put before each group's name. Not a headscale key."),
    Key(
        "oidc.groups.map",
        "map",
        {},
        "Claim value to policy group; empty: every value is a group of its name. Not a headscale key.",
    ),
    Key(
        "oidc.refresh_interval",
        "duration",
        "15m",
        "How often the provider is asked again about users with offline access; 0: never. Not headscale's.",
    ),
    Key(
        "oidc.providers",
        "mappings",
        (),
        "Several providers: mappings of name, title and the keys above. Not a headscale key.",
    ),
    Key("logtail.enabled", "bool", False, "Let clients log to Tailscale; off tells them not to."),
    Key("taildrop.enabled", "bool", True, "File sharing between nodes of a user."),
    Key("auto_update.enabled", "bool", False, "What new clients are told about updating themselves."),
    Key("cli.address", "text", "", "A server elsewhere for the command line, such as https://host."),
    Key("cli.api_key", "secret", "", "API key for `cli.address`."),
    Key("cli.timeout", "duration", "5s", "How long the command line waits for the server."),
    Key("cli.insecure", "bool", False, "Accept any certificate of that server."),
    _no_effect("tuning.notifier_send_timeout", "duration", "800ms", "A detail of another implementation."),
    Key("tuning.batch_change_delay", "duration", "25ms", "Changes within this time go out together."),
    _no_effect("tuning.node_mapsession_buffered_chan_size", "int", 30, "A detail of another implementation."),
    _no_effect("tuning.batcher_workers", "int", 0, "A detail of another implementation."),
    _no_effect("tuning.register_cache_expiration", "duration", "15m", "A detail of another implementation."),
    _no_effect("tuning.register_cache_max_entries", "int", 1024, "A detail of another implementation."),
    _no_effect("tuning.node_store_batch_size", "int", 100, "A detail of another implementation."),
    _no_effect("tuning.node_store_batch_timeout", "duration", "500ms", "A detail of another implementation."),
)

KEYS = {key.path: key for key in _KEYS}


@dataclass(frozen=True, slots=True)
class Former:
    """A key of older releases: renamed (`now`), or gone.

    `fatal` when ignoring it would be wrong; what it means when it is false, everybody has now.
    """

    about: str
    now: str = ""
    fatal: bool = False


FORMER = {
    **{
        f"db_{old}": Former("", f"database.{new}") for old, new in (("type", "type"), ("path", "sqlite.path"))
    },
    **{
        f"db_{name}": Former("", f"database.postgres.{name}")
        for name in ("host", "port", "name", "user", "pass")
    },
    "db_ssl": Former("", "database.postgres.ssl"),
    "private_key_path": Former("the key of the protocol before Noise is not needed any more"),
    "acls_path": Former("", "policy.path"),
    "acl_policy_path": Former("", "policy.path"),
    "dns_config.magic_dns": Former("", "dns.magic_dns"),
    "dns_config.base_domain": Former("", "dns.base_domain"),
    "dns_config.override_local_dns": Former("", "dns.override_local_dns"),
    "dns_config.nameservers": Former("", "dns.nameservers.global"),
    "dns_config.restricted_nameservers": Former("", "dns.nameservers.split"),
    "dns_config.domains": Former("", "dns.search_domains"),
    "dns_config.extra_records": Former("", "dns.extra_records"),
    "dns.use_username_in_magic_dns": Former(
        "node names no longer hold user names; remove the key", fatal=True
    ),
    "dns_config.use_username_in_magic_dns": Former(
        "node names no longer hold user names; remove the key", fatal=True
    ),
    "oidc.expiry": Former("", "node.expiry"),
    "oidc.strip_email_domain": Former("users are known by their full login; remove the key", fatal=True),
    "oidc.map_legacy_users": Former("users are known by provider identity; remove the key", fatal=True),
    "oidc.domain_map": Former("it has had no effect for long"),
    "oidc.enabled": Former("setting `oidc.issuer` is what turns it on"),
    "randomize_client_port": Former(
        'it is a policy setting now: put `"randomizeClientPort": true` into the policy', fatal=True
    ),
    "ephemeral_node_inactivity_timeout": Former("", "node.ephemeral.inactivity_timeout"),
    "node_update_check_interval": Former("nothing polls any more"),
    "log_level": Former("", "log.level"),
    "tls_client_auth_mode": Former("client certificates are not asked for"),
}
