"""From what a file or the environment says to typed values, one converter a kind.

Every converter raises ValueError with a sentence fit to be shown. From the environment everything is text:
lists are separated by white space, maps are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from coordinator.settings.durations import parse_duration
from coordinator.settings.keys import Key
from coordinator.settings.secret import Secret


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
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"`{text}` is not an address such as 127.0.0.1:8080 or :8080")
    host = host.removeprefix("[").removesuffix("]")
    if ":" in host:
        ip_address(host)
    return host or "0.0.0.0", int(port)


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


def _split(value: Any) -> dict[str, tuple[str, ...]]:
    return {suffix: _nameservers(servers) for suffix, servers in _map(value).items()}


def _nameservers(value: Any) -> tuple[str, ...]:
    servers = _strings(value)
    for server in servers:
        if not server.startswith("https://"):
            try:
                ip_address(server)
            except ValueError:
                raise ValueError(f"`{server}` is neither an address nor a https:// URL") from None
    return servers


def _records(value: Any) -> tuple[dict[str, str], ...]:
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list, not {_kind(value)}")
    records = []
    for number, item in enumerate(value, 1):
        fields = {name.lower(): _text(text) for name, text in _map(item).items()}
        if set(fields) - {"name", "type", "value"} or not {"name", "value"} <= set(fields):
            raise ValueError(f"record {number} needs name and value, may have type, and nothing else")
        version = 6 if fields.get("type", "").upper() == "AAAA" else 4
        if fields.get("type", "A").upper() not in ("A", "AAAA"):
            raise ValueError(f"record {number}: clients know A and AAAA only, not `{fields['type']}`")
        if "type" in fields and ip_address(fields["value"]).version != version:
            raise ValueError(f"record {number}: `{fields['value']}` does not fit type {fields['type']}")
        records.append(fields)
    return tuple(records)


def _mode(value: Any) -> int:
    # YAML 1.1 reads 0770 as octal already; then it is a number.
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = _text(value).lower().removeprefix("0o")
    try:
        mode = int(text, 8)
    except ValueError:
        raise ValueError(f"`{value}` is not an octal mode such as 0o770") from None
    if mode > 0o777:
        raise ValueError(f"`{value}` is not an octal mode such as 0o770")
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
    "prefix4": _prefix(4),
    "prefix6": _prefix(6),
    "prefixes": _prefixes,
    "strings": _strings,
    "split": _split,
    "records": _records,
    "map": _map,
    "mode": _mode,
}
