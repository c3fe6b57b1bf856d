"""From what a file or the environment says to typed values, one converter a kind.

Every converter raises ValueError with a sentence fit to be shown. From the environment everything is text:
lists are separated by white space, maps are JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from coordinator.settings.durations import parse_duration
from coordinator.settings.keys import Key
from coordinator.settings.names import is_address, require_domain, require_host
from coordinator.settings.secret import Secret

FROM_TEXT = frozenset(
    (
        "text",
        "secret",
        "duration",
        "url",
        "addr",
        "address4",
        "address6",
        "domain",
        "prefix4",
        "prefix6",
        "mode",
        "syslog",
        "webhook",
    )
)
"""Kinds that take a plain value of the file as it is spelled, not as YAML understands it."""
_MODE = re.compile(r"(?:0o)?([0-7]{1,4})")


def convert(key: Key, value: Any, base: Path) -> Any:
    """A value of the key's kind.

    Args:
        key: The key.
        value: As read; None means the default.
        base: Directory that relative paths are relative to.

    Raises:
        ValueError: what is wrong with it.
    """
    if value is None:
        value = key.default
        if value is None:
            raise ValueError("a value is needed")
    converter = _CONVERTERS.get(key.kind)
    if converter is not None:
        return converter(value)
    match key.kind:
        case "choice":
            return _choice(key, value)
        case "path":
            return _path(_text(value), base)
        case "paths":
            return tuple(path for text in _strings(value) if (path := _path(text, base)) is not None)
    raise AssertionError(f"kind {key.kind} has no converter")


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be text, not {_kind(value)}")
    return str(value).strip()


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false", "1", "0"):
        return value.strip().lower() in ("true", "1")
    raise ValueError(f"must be true or false, not {_kind(value)}")


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"must be a whole number, not {_kind(value)}")
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"`{value}` is not a whole number") from None


def _choice(key: Key, value: Any) -> str:
    text = _text(value).lower()
    if text not in key.choices:
        raise ValueError(f"`{text}` is not one of {', '.join(key.choices)}")
    return text


def _path(text: str, base: Path) -> Path | None:
    return base / Path(text).expanduser() if text else None


def _url(value: Any) -> str:
    text = _text(value)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"`{text}` is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"`{text}` must begin with http:// or https:// and name a host")
    if "@" in parts.netloc:
        raise ValueError(f"`{text}` must not hold a user or a password")
    require_host(parts.hostname)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"`{text}` must not have a path: clients only use scheme, host and port")
    if port == 0:
        raise ValueError(f"`{text}` has port 0")
    return text.rstrip("/")


def _addr(value: Any) -> tuple[str, int] | None:
    text = _text(value)
    if not text:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"`{text}` is not an address such as 127.0.0.1:8080 or :8080")
    host = host.removeprefix("[").removesuffix("]")
    if ":" in host:
        ip_address(host)
    elif host:
        require_host(host)
    return host or "0.0.0.0", int(port)


def _syslog(value: Any) -> tuple[str, Path | tuple[str, int]] | None:
    text = _text(value)
    if not text:
        return None
    transport, _, place = text.partition(":")
    if transport == "unix" and place.startswith("/"):
        return transport, Path(place)
    if transport in ("udp", "tcp") and not place.startswith(":"):
        address = _addr(place)
        if address is not None and address[1]:
            return transport, address
    raise ValueError(f"`{text}` is not unix:/path, udp:host:port or tcp:host:port")


def _webhook(value: Any) -> str:
    text = _text(value)
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"`{text}` is not a URL: {error}") from None
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or a password; there is a key for the secret")
    here = host == "localhost" or (is_address(host) and ip_address(host).is_loopback)
    if not host or (parts.scheme != "https" and not (parts.scheme == "http" and here)):
        raise ValueError(f"`{text}` must begin with https:// (http:// only for this machine) and name a host")
    return text


def _address(version: int) -> Callable[[Any], str]:
    def convert_address(value: Any) -> str:
        text = _text(value)
        if text and (not is_address(text) or ip_address(text).version != version):
            raise ValueError(f"`{text}` is not an IPv{version} address")
        return text

    return convert_address


def _prefix(version: int) -> Callable[[Any], Any]:
    def convert_prefix(value: Any) -> Any:
        text = _text(value)
        if not text:
            return None
        network = ip_network(text)
        if network.version != version:
            raise ValueError(f"`{text}` is not an IPv{version} prefix")
        return network

    return convert_prefix


def _prefixes(value: Any) -> tuple[Any, ...]:
    networks = tuple(ip_network(text) for text in _strings(value))
    for network in networks:
        if network.prefixlen == 0:
            raise ValueError(f"`{network}` would believe everybody")
    return networks


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(value.split())
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list, not {_kind(value)}")
    return tuple(_text(item) for item in value)


def _map(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("must be a JSON object") from None
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping, not {_kind(value)}")
    return {str(name): item for name, item in value.items()}


def _mappings(value: Any) -> tuple[dict[str, Any], ...]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("must be a JSON array of objects") from None
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list, not {_kind(value)}")
    return tuple(_map(item) for item in value)


def _domain(value: Any) -> str:
    text = _text(value)
    return require_domain(text) if text else ""


def _domains(value: Any) -> tuple[str, ...]:
    return tuple(require_domain(text) for text in _strings(value))


def _split(value: Any) -> dict[str, tuple[str, ...]]:
    return {require_domain(suffix): _nameservers(servers) for suffix, servers in _map(value).items()}


def _nameservers(value: Any) -> tuple[str, ...]:
    servers = _strings(value)
    for server in servers:
        if not server.startswith("https://") and not is_address(server):
            raise ValueError(f"`{server}` is neither an address nor a https:// URL")
    return servers


def records(value: Any) -> tuple[dict[str, str], ...]:
    """Extra DNS records from a list of mappings, or from its JSON text.

    Raises:
        ValueError: with the number of the record that is wrong.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("must be a JSON array") from None
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list, not {_kind(value)}")
    return tuple(_record(number, item) for number, item in enumerate(value, 1))


def _record(number: int, item: Any) -> dict[str, str]:
    fields = {name.lower(): _text(text) for name, text in _map(item).items()}
    if set(fields) - {"name", "type", "value"} or not {"name", "value"} <= set(fields):
        raise ValueError(f"record {number} needs name and value, may have type, and nothing else")
    kind = fields.get("type", "").upper()
    if kind not in ("", "A", "AAAA"):
        raise ValueError(f"record {number}: clients know A and AAAA only, not `{fields['type']}`")
    if "*" in fields["name"]:
        raise ValueError(f"record {number}: clients know exact names only, not `{fields['name']}`")
    require_domain(fields["name"])
    if not is_address(fields["value"]):
        raise ValueError(f"record {number}: `{fields['value']}` is not an address")
    version = ip_address(fields["value"]).version
    if kind and version != (6 if kind == "AAAA" else 4):
        raise ValueError(f"record {number}: `{fields['value']}` does not fit type {fields['type']}")
    return fields


def _mode(value: Any) -> int:
    text = _text(value).lower()
    found = _MODE.fullmatch(text)
    mode = int(found[1], 8) if found else -1
    if not 0 <= mode <= 0o777:
        raise ValueError(f"`{text}` is not an octal mode such as 0o770")
    return mode


def _kind(value: Any) -> str:
    names = {
        bool: "true/false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a mapping",
    }
    return names.get(type(value), "nothing" if value is None else type(value).__name__)


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "secret": lambda value: Secret(_text(value)),
    "bool": _bool,
    "int": _int,
    "duration": lambda value: parse_duration(_text(value)),
    "url": _url,
    "addr": _addr,
    "address4": _address(4),
    "address6": _address(6),
    "domain": _domain,
    "domains": _domains,
    "prefix4": _prefix(4),
    "prefix6": _prefix(6),
    "prefixes": _prefixes,
    "strings": _strings,
    "nameservers": _nameservers,
    "split": _split,
    "records": records,
    "map": _map,
    "mappings": _mappings,
    "mode": _mode,
    "syslog": _syslog,
    "webhook": _webhook,
}
