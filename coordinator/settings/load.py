"""Load the settings: file, then environment, all problems together.

Every problem names the key, the line of the file (or the variable), what is wrong, and the nearest known key
where a name is unknown. Nothing is ignored silently: keys without effect and renamed keys give a notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from coordinator.settings.convert import convert
from coordinator.settings.document import DocumentError, Entry, read_entries
from coordinator.settings.keys import FORMER, KEYS
from coordinator.settings.model import DNS, Database, Relay, Settings

ENV_PREFIX = "HEADSCALE_"
_NOT_KEYS = (
    "HEADSCALE_CONFIG",
    "HEADSCALE_DEBUG_",
    "HEADSCALE_EXPERIMENTAL_",
    "HEADSCALE_POLICY_V1",
    "HEADSCALE_CLI_",
)
_STOP = frozenset(key.path for key in KEYS.values() if key.kind in ("split", "map", "records")) | {
    "dns_config.restricted_nameservers",
    "dns_config.extra_records",
}
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
    if not collected.problems:
        _check_together(values, collected)
    if collected.problems:
        raise SettingsError(collected.problems)
    return _build(values), collected.notices


def _take(collected: _Collected, entry: Entry, place: str) -> None:
    path = entry.path
    if path == "ip_prefixes" or path == "ip_prefix":
        _take_prefixes(collected, entry, place)
        return
    former = FORMER.get(path)
    if former is not None:
        if former.fatal:
            collected.problems.append(f"{place}: `{path}`: {former.about}")
            return
        if not former.now:
            collected.notices.append(f"{place}: `{path}` has no effect: {former.about}")
            return
        collected.notices.append(f"{place}: `{path}` is called `{former.now}` now; its value is used")
        path = former.now
    if path not in KEYS:
        if entry.value in (None, {}, []):
            sections = {key.rsplit(".", depth)[0] for key in KEYS for depth in (1, 2, 3)}
            if path in sections:
                return
        near = get_close_matches(path, KEYS, n=1, cutoff=0.6)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        collected.problems.append(f"{place}: unknown key `{path}`{hint}")
        return
    if path in collected.values:
        collected.problems.append(f"{place}: `{path}` is set already at {collected.places[path]}")
        return
    collected.values[path] = entry.value
    collected.places[path] = place


def _take_prefixes(collected: _Collected, entry: Entry, place: str) -> None:
    collected.notices.append(f"{place}: `{entry.path}` is split into `prefixes.v4` and `prefixes.v6` now")
    values = entry.value if isinstance(entry.value, list) else [entry.value]
    families = {"prefixes.v4": "", "prefixes.v6": ""}
    for value in values:
        families["prefixes.v6" if ":" in str(value) else "prefixes.v4"] = str(value)
    for path, value in families.items():
        collected.values[path], collected.places[path] = value, place


def _take_environment(collected: _Collected, env: Mapping[str, str]) -> None:
    variables = {ENV_PREFIX + path.replace(".", "_").upper(): path for path in KEYS}
    for name, value in sorted(env.items()):
        if not name.startswith(ENV_PREFIX) or not value:
            continue
        path = variables.get(name)
        if path is not None:
            collected.values[path], collected.places[path] = value, f"${name}"
        elif not name.startswith(_NOT_KEYS):
            near = get_close_matches(name, variables, n=1, cutoff=0.8)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            collected.notices.append(f"${name} names no known key and has no effect{hint}")


def _convert_all(collected: _Collected, base: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path, key in KEYS.items():
        given = path in collected.values
        place = collected.places.get(path, "configuration")
        try:
            values[path] = convert(key, collected.values.get(path), base)
            if given and not key.effect and values[path] != convert(key, None, base):
                collected.notices.append(f"{place}: `{path}` has no effect yet: {key.about}")
        except ValueError as error:
            collected.problems.append(f"{place}: `{path}`: {error}")
    return values


def _check_together(values: Mapping[str, Any], collected: _Collected) -> None:
    def problem(path: str, text: str) -> None:
        collected.problems.append(f"{collected.places.get(path, 'configuration')}: `{path}`: {text}")

    if values["listen_addr"] is None:
        problem("listen_addr", "an address is needed")
    if values["prefixes.v4"] is None and values["prefixes.v6"] is None:
        problem("prefixes.v4", "one of prefixes.v4 and prefixes.v6 is needed")
    for path in (
        "noise.private_key_path",
        "derp.server.private_key_path",
        "unix_socket",
        "database.sqlite.path",
    ):
        if values[path] is None:
            problem(path, "a path is needed")
    if bool(values["tls_cert_path"]) != bool(values["tls_key_path"]):
        problem("tls_cert_path", "tls_cert_path and tls_key_path go together")
    if values["derp.server.enabled"]:
        if values["derp.server.private_key_path"] == values["noise.private_key_path"]:
            problem("derp.server.private_key_path", "must not be the noise key")
        if values["derp.server.stun_listen_addr"] is None:
            problem("derp.server.stun_listen_addr", "an address is needed with the embedded relay")
        if not 1 <= values["derp.server.region_id"] <= 9999:
            problem("derp.server.region_id", "must be a number from 1 to 9999")
    if values["node.ephemeral.inactivity_timeout"] <= timedelta(seconds=65):
        problem(
            "node.ephemeral.inactivity_timeout", "must be longer than 65s, or short absences remove nodes"
        )
    if values["tuning.batch_change_delay"] > timedelta(seconds=5):
        problem("tuning.batch_change_delay", "must be 5s or less")
    if values["database.type"] == "postgres":
        for name in ("host", "name", "user"):
            if not values[f"database.postgres.{name}"]:
                problem(f"database.postgres.{name}", "is needed with database.type postgres")
    _check_dns(values, problem)


def _check_dns(values: Mapping[str, Any], problem: Any) -> None:
    base = values["dns.base_domain"].strip(".").lower()
    if values["dns.magic_dns"] and not base:
        problem("dns.base_domain", "is needed with dns.magic_dns")
    host = urlsplit(values["server_url"]).hostname or ""
    if base and (host == base or host.endswith("." + base)):
        problem(
            "dns.base_domain", f"must not contain the server's own host `{host}`, or clients lose the server"
        )
    if values["dns.override_local_dns"] and not values["dns.nameservers.global"]:
        problem("dns.nameservers.global", "at least one server is needed with dns.override_local_dns")
    for server in values["dns.nameservers.global"]:
        if not server.startswith("https://") and not _is_address(server):
            problem("dns.nameservers.global", f"`{server}` is neither an address nor a https:// URL")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _build(values: Mapping[str, Any]) -> Settings:
    return Settings(
        server_url=values["server_url"],
        listen_addr=values["listen_addr"],
        metrics_listen_addr=values["metrics_listen_addr"],
        noise_private_key_path=values["noise.private_key_path"],
        prefix_v4=values["prefixes.v4"],
        prefix_v6=values["prefixes.v6"],
        random_allocation=values["prefixes.allocation"] == "random",
        relay=_build_relay(_section(values, "derp.server.")),
        derp_paths=values["derp.paths"],
        node_expiry=values["node.expiry"],
        ephemeral_inactivity=values["node.ephemeral.inactivity_timeout"],
        database=_build_database(_section(values, "database.")),
        tls_cert_path=values["tls_cert_path"],
        tls_key_path=values["tls_key_path"],
        log_level=values["log.level"],
        log_format=values["log.format"],
        policy_in_database=values["policy.mode"] in ("database", "db"),
        policy_path=values["policy.path"],
        dns=_build_dns(_section(values, "dns.")),
        unix_socket=values["unix_socket"],
        unix_socket_permission=values["unix_socket_permission"],
        logtail_enabled=values["logtail.enabled"],
        taildrop_enabled=values["taildrop.enabled"],
        auto_update_enabled=values["auto_update.enabled"],
        cli_address=values["cli.address"],
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


def _build_dns(section: Mapping[str, Any]) -> DNS:
    return DNS(
        magic_dns=section["magic_dns"],
        base_domain=section["base_domain"].strip("."),
        override_local_dns=section["override_local_dns"],
        nameservers=section["nameservers.global"],
        split=section["nameservers.split"],
        search_domains=section["search_domains"],
        extra_records=section["extra_records"],
    )
