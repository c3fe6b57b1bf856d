"""Load the settings: file, then environment, all problems together.

Every problem names the key, the line of the file (or the variable), what is wrong, and the nearest known key
where a name is unknown. Nothing is ignored silently: keys without effect and renamed keys give a notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from coordinator.settings.checks import check_together
from coordinator.settings.convert import FROM_TEXT, convert
from coordinator.settings.document import DocumentError, Entry, read_entries
from coordinator.settings.keys import FORMER, KEYS
from coordinator.settings.model import (
    DNS,
    Approval,
    Audit,
    Database,
    PlainWireGuard,
    RateLimitValues,
    Relay,
    Settings,
)
from coordinator.settings.oidc import build_oidc, check_oidc
from coordinator.settings.webhooks import build_webhooks, check_webhooks

ENV_PREFIX = "HEADSCALE_"
ID_TOKEN_KEY = "id_token_private.pem"
"""Beside the Noise key, unless the configuration says where."""
_NOT_KEYS = (
    "HEADSCALE_CONFIG",
    "HEADSCALE_DEBUG_",
    "HEADSCALE_EXPERIMENTAL_",
    "HEADSCALE_POLICY_V1",
    "HEADSCALE_CLI_",
)
_STOP = frozenset(
    key.path for key in KEYS.values() if key.kind in ("split", "map", "records", "mappings")
) | {
    "dns_config.restricted_nameservers",
    "dns_config.extra_records",
}
_SPLIT_PREFIXES = ("ip_prefixes", "ip_prefix")
_SECTIONS = frozenset(
    path.rsplit(".", depth)[0] for path in (*KEYS, *FORMER) for depth in range(1, path.count(".") + 1)
)
SEARCH = (Path("/etc/headscale"), Path("~/.headscale"), Path())


class SettingsError(Exception):
    """The configuration cannot be used. `problems` are sentences, each with its place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(slots=True)
class _Collected:
    values: dict[str, Any]
    places: dict[str, str]
    problems: list[str]
    notices: list[str]

    def place(self, path: str) -> str:
        """Where a key was set."""
        return self.places.get(path, "configuration")


def find_config(explicit: str | None, env: Mapping[str, str]) -> Path | None:
    """The file to read: the one named, `HEADSCALE_CONFIG`, or config.yaml/.json in the usual places."""
    named = explicit or env.get("HEADSCALE_CONFIG")
    if named:
        return Path(named)
    for directory in SEARCH:
        for name in ("config.yaml", "config.yml", "config.json"):
            candidate = directory.expanduser() / name
            if candidate.is_file():
                return candidate
    return None


def load_settings(path: Path | None, env: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Read, check and freeze the settings.

    Args:
        path: The file; None for defaults and environment only.
        env: The process environment.

    Returns:
        (settings, notices for the operator, one line each).

    Raises:
        SettingsError: with every problem found.
    """
    collected = _Collected({}, {}, [], [])
    base = Path.cwd()
    if path is not None:
        base = path.resolve().parent
        try:
            for entry in read_entries(path.read_text(encoding="utf-8"), _STOP):
                _take(collected, entry, f"{path.name}:{entry.line}")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError([f"cannot read {path}: {error}"]) from error
        except DocumentError as error:
            raise SettingsError([f"{path.name}: {error}"]) from error
    _take_environment(collected, env)
    values = _convert_all(collected, base)

    def problem(path: str, text: str) -> None:
        collected.problems.append(f"{collected.place(path)}: `{path}`: {text}")

    def notice(path: str, text: str) -> None:
        collected.notices.append(f"{collected.place(path)}: `{path}`: {text}")

    check_together(values, problem, notice)
    if all(path in values for path in KEYS if path.startswith("oidc.")):
        check_oidc(values, problem, notice)
    if "access.webhooks" in values:
        check_webhooks(values["access.webhooks"], problem, notice)
    if collected.problems:
        raise SettingsError(collected.problems)
    return _build(values), collected.notices


def _take(collected: _Collected, entry: Entry, place: str) -> None:
    path = entry.path
    if path in _SPLIT_PREFIXES:
        values = entry.value if isinstance(entry.value, list) else [entry.value]
        _take_prefixes(collected, path, [str(value) for value in values], place)
        return
    if path in FORMER:
        now = _former(collected, path, entry.value, place)
        if not now:
            return
        path = now
    key = KEYS.get(path)
    if key is None:
        _refuse_unknown(collected, entry, place)
        return
    if path in collected.values:
        collected.problems.append(f"{place}: `{path}` is set already at {collected.places[path]}")
        return
    as_spelled = key.kind in FROM_TEXT and entry.text is not None
    collected.values[path] = entry.text if as_spelled else entry.value
    collected.places[path] = place


def _refuse_unknown(collected: _Collected, entry: Entry, place: str) -> None:
    path = entry.path
    if path in _SECTIONS:
        # Everything in it may be commented out.
        if entry.value not in (None, {}):
            collected.problems.append(f"{place}: `{path}` must be a mapping of keys to values")
        return
    near = get_close_matches(path, KEYS, n=1, cutoff=0.6)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    collected.problems.append(f"{place}: unknown key `{path}`{hint}")


def _former(collected: _Collected, path: str, value: Any, place: str) -> str:
    """What a key of an older release is called now; "" when it is gone."""
    former = FORMER[path]
    if former.fatal and value not in (False, None, "false"):
        collected.problems.append(f"{place}: `{path}`: {former.about}")
        return ""
    if former.now:
        collected.notices.append(f"{place}: `{path}` is called `{former.now}` now; its value is used")
    else:
        collected.notices.append(f"{place}: `{path}` has no effect: {former.about}")
    return former.now


def _take_prefixes(collected: _Collected, path: str, prefixes: list[str], place: str) -> None:
    collected.notices.append(f"{place}: `{path}` is split into `prefixes.v4` and `prefixes.v6` now")
    families = {"prefixes.v4": "", "prefixes.v6": ""}
    for prefix in prefixes:
        family = "prefixes.v6" if ":" in prefix else "prefixes.v4"
        if families[family]:
            collected.problems.append(f"{place}: `{path}`: only one prefix of each family can be used")
        families[family] = prefix
    for family, prefix in families.items():
        if family in collected.values:
            collected.problems.append(f"{place}: `{family}` is set already at {collected.places[family]}")
        collected.values[family], collected.places[family] = prefix, place


def _take_environment(collected: _Collected, env: Mapping[str, str]) -> None:
    variables = {_variable(path): path for path in (*_SPLIT_PREFIXES, *FORMER, *KEYS)}
    for name, value in sorted(env.items()):
        if not name.startswith(ENV_PREFIX) or not value:
            continue
        path, place = variables.get(name), f"${name}"
        if path is None:
            if not name.startswith(_NOT_KEYS):
                near = get_close_matches(name, variables, n=1, cutoff=0.8)
                hint = f"; did you mean `{near[0]}`?" if near else ""
                collected.notices.append(f"{place} names no known key and has no effect{hint}")
            continue
        if path in _SPLIT_PREFIXES:
            for family in ("prefixes.v4", "prefixes.v6"):
                collected.values.pop(family, None)
            _take_prefixes(collected, path, value.split(), place)
            continue
        if path in FORMER:
            path = _former(collected, path, value, place)
        if path:
            collected.values[path], collected.places[path] = value, place


def _variable(path: str) -> str:
    return ENV_PREFIX + path.replace(".", "_").upper()


def _convert_all(collected: _Collected, base: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path, key in KEYS.items():
        given = path in collected.values
        try:
            values[path] = convert(key, collected.values.get(path), base)
            if given and not key.effect and values[path] != convert(key, None, base):
                collected.notices.append(f"{collected.place(path)}: `{path}` has no effect yet: {key.about}")
        except ValueError as error:
            collected.problems.append(f"{collected.place(path)}: `{path}`: {error}")
    return values


def _build(values: Mapping[str, Any]) -> Settings:
    return Settings(
        server_url=values["server_url"],
        listen_addr=values["listen_addr"],
        metrics_listen_addr=values["metrics_listen_addr"],
        trusted_proxies=values["trusted_proxies"],
        noise_private_key_path=values["noise.private_key_path"],
        id_token_key_path=values["id_tokens.private_key_path"]
        or values["noise.private_key_path"].with_name(ID_TOKEN_KEY),
        prefix_v4=values["prefixes.v4"],
        prefix_v6=values["prefixes.v6"],
        random_allocation=values["prefixes.allocation"] == "random",
        relay=_build_relay(_section(values, "derp.server.")),
        derp_paths=values["derp.paths"],
        derp_urls=values["derp.urls"],
        derp_refresh=values["derp.update_frequency"] if values["derp.auto_update_enabled"] else None,
        node_expiry=values["node.expiry"],
        node_expiry_notice=values["node.expiry_notice"],
        ephemeral_inactivity=values["node.ephemeral.inactivity_timeout"],
        address_rest=values["node.ephemeral.address_rest"],
        rotation_age=values["inventory.rotation_age"],
        approval=Approval(
            required=values["node.approval_required"],
            exempt_users=tuple(values["node.approval_exempt_users"]),
            exempt_tags=tuple(values["node.approval_exempt_tags"]),
        ),
        rate_limits=RateLimitValues(**_section(values, "rate_limits.")),
        database=_build_database(_section(values, "database.")),
        tls_cert_path=values["tls_cert_path"],
        tls_key_path=values["tls_key_path"],
        log_level=values["log.level"],
        log_format=values["log.format"],
        audit=_build_audit(_section(values, "audit.")),
        access_webhooks=build_webhooks(values["access.webhooks"]),
        access_tailnet_listen_addr=values["access.tailnet_listen_addr"],
        policy_in_database=values["policy.mode"] in ("database", "db"),
        policy_path=values["policy.path"],
        associated_domains=tuple(values["policy.associated_domains"]) or None,
        dns=_build_dns(_section(values, "dns.")),
        oidc=build_oidc(values),
        wireguard=PlainWireGuard(**_section(values, "wireguard.")),
        unix_socket=values["unix_socket"],
        unix_socket_permission=values["unix_socket_permission"],
        logtail_enabled=values["logtail.enabled"],
        taildrop_enabled=values["taildrop.enabled"],
        auto_update_enabled=values["auto_update.enabled"],
        cli_address=values["cli.address"],
        cli_api_key=values["cli.api_key"],
        cli_insecure=values["cli.insecure"],
        cli_timeout=values["cli.timeout"],
        coalescing_window=values["tuning.batch_change_delay"],
    )


def _section(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {path.removeprefix(prefix): value for path, value in values.items() if path.startswith(prefix)}


def _build_relay(section: Mapping[str, Any]) -> Relay:
    return Relay(
        enabled=section["enabled"],
        region_id=section["region_id"],
        region_code=section["region_code"],
        region_name=section["region_name"],
        verify_clients=section["verify_clients"],
        stun_listen_addr=section["stun_listen_addr"],
        private_key_path=section["private_key_path"],
        in_map=section["automatically_add_embedded_derp_region"],
        ipv4=section["ipv4"],
        ipv6=section["ipv6"],
        tls_listen_addr=section["tls_listen_addr"],
        tls_cert_path=section["tls_cert_path"],
        tls_key_path=section["tls_key_path"],
    )


def _build_database(section: Mapping[str, Any]) -> Database:
    return Database(
        kind="postgres" if section["type"] == "postgres" else "sqlite",
        debug=section["debug"],
        sqlite_path=section["sqlite.path"],
        write_ahead_log=section["sqlite.write_ahead_log"],
        host=section["postgres.host"],
        port=section["postgres.port"],
        name=section["postgres.name"],
        user=section["postgres.user"],
        password=section["postgres.pass"],
        ssl=section["postgres.ssl"],
        max_connections=section["postgres.max_open_conns"],
    )


def _build_audit(section: Mapping[str, Any]) -> Audit:
    return Audit(
        file_path=section["file.path"],
        syslog=section["syslog.address"],
        https_url=section["https.url"],
        https_token=section["https.token"],
        retention=section["retention"],
    )


def _build_dns(section: Mapping[str, Any]) -> DNS:
    return DNS(
        magic_dns=section["magic_dns"],
        base_domain=section["base_domain"],
        override_local_dns=section["override_local_dns"],
        nameservers=section["nameservers.global"],
        split=section["nameservers.split"],
        search_domains=section["search_domains"],
        extra_records=section["extra_records"],
        extra_records_path=section["extra_records_path"],
    )
