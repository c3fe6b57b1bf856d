"""Gateways, peers and profiles as somebody declares them in YAML: reading, with the place of every mistake.

All mistakes are found at once. What the values mean, and whether they fit what is there, is for whoever
applies them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from acl.problems import PolicyError, Problem, Span, nearest
from coordinator.wireguard.declared_profiles import ProfileItem, read_profiles
from coordinator.wireguard.located_yaml import YamlReader, is_null, span_of

MAX_ITEMS = 20_000


@dataclass(frozen=True, slots=True)
class Item:
    """One gateway or peer; `fields` are checked for their kinds, `span` is where it stands."""

    span: Span
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.fields["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """The whole file."""

    gateways: tuple[Item, ...] = ()
    peers: tuple[Item, ...] = ()
    profiles: tuple[ProfileItem, ...] = ()


def read_declaration(text: str) -> Declaration:
    """Read a file.

    Raises:
        PolicyError: with every problem and its place.
    """
    reader = _Reader()
    root = reader.compose(text)
    if root is None:
        # A template that failed, or a name of a field misspelt, must not take everything away.
        message = (
            "it declares nothing; write `gateways: []`, `peers: []` and `profiles: {}` if all of it shall go"
        )
        raise PolicyError([Problem(code="declares-nothing", message=message)])
    found: dict[str, tuple[Item, ...]] = {}
    profiles: tuple[ProfileItem, ...] = ()
    for key, node in reader.mapping(root, "the file"):
        if key.value == "profiles":
            profiles = read_profiles(reader, node)
        elif key.value in _SECTIONS:
            found[str(key.value)] = reader.items(str(key.value), node)
        else:
            known = ("profiles", *_SECTIONS)
            reader.complain(key, f"unknown key `{key.value}`", nearest(str(key.value), known))
    if reader.problems:
        raise PolicyError(reader.problems)
    return Declaration(gateways=found.get("gateways", ()), peers=found.get("peers", ()), profiles=profiles)


Check = Callable[[Any], Any]


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _number(value: Any) -> Any:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _flag(value: Any) -> Any:
    return value if isinstance(value, bool) else None


def _texts(value: Any) -> Any:
    good = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return tuple(value) if good else None


def _teams(value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    good = all(isinstance(team, str) and team and _texts(networks) for team, networks in value.items())
    return {team: list(networks) for team, networks in value.items()} if good else None


def _moment(value: Any) -> Any:
    """YAML knows times; without a zone they are UTC, as YAML says."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
        if value.tzinfo is None:
            return None
    if isinstance(value, datetime):
        try:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except OverflowError:
            return None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None


_TEXT, _NUMBER = (_text, "text"), (_number, "a number that is not negative")
_FLAG, _TEXTS = (_flag, "true or false"), (_texts, "a list of texts")
_MOMENT = (_moment, "a time such as 2026-01-31T12:00:00Z")
_FIELDS: Mapping[str, Mapping[str, tuple[Check, str]]] = {
    "gateways": {
        "name": _TEXT,
        "host": _TEXT,
        "pools": _TEXTS,
        "teamPools": (_teams, "a mapping of teams to lists of networks"),
        "listenPort": _NUMBER,
        "mtu": _NUMBER,
        "dns": _TEXTS,
        "keepalive": _NUMBER,
        "masquerade": _FLAG,
        "tailnet": _FLAG,
        "profiles": _TEXTS,
        "rotateDays": _NUMBER,
    },
    "peers": {
        "name": _TEXT,
        "publicKey": _TEXT,
        "gateway": _TEXT,
        "user": _TEXT,
        "service": _TEXT,
        "profile": _TEXT,
        "team": _TEXT,
        "permanent": _FLAG,
        "until": _MOMENT,
        "reason": _TEXT,
        "addresses": _TEXTS,
        "keepalive": _NUMBER,
        "presharedKey": _FLAG,
    },
}
_SECTIONS = tuple(_FIELDS)
_NEEDED = {"gateways": ("name", "host"), "peers": ("name", "publicKey", "gateway")}


class _Reader(YamlReader):
    """Knows the sections."""

    def items(self, section: str, node: yaml.Node) -> tuple[Item, ...]:
        """The items of a section; names, and keys of peers, once."""
        if is_null(node):
            return ()
        if not isinstance(node, yaml.SequenceNode):
            self.complain(node, f"`{section}` must be a list")
            return ()
        if len(node.value) > MAX_ITEMS:
            self.complain(node, f"`{section}` has more than {MAX_ITEMS} items")
            return ()
        found = [item for each in node.value if (item := self._item(section, each)) is not None]
        for unique in ("name", "publicKey"):
            first: dict[str, Span] = {}
            for item in found:
                value = item.fields.get(unique)
                if value is not None and value in first:
                    message = f"{unique} `{value}` is declared twice, first in {first[value]}"
                    self.problems.append(Problem(code="declared-twice", message=message, span=item.span))
                elif value is not None:
                    first[value] = item.span
        return tuple(found)

    def _item(self, section: str, node: yaml.Node) -> Item | None:
        before = len(self.problems)
        fields: dict[str, Any] = {}
        known = _FIELDS[section]
        for key, value in self.mapping(node, f"an item of `{section}`"):
            name = str(key.value)
            if name not in known:
                self.complain(key, f"unknown key `{name}` in `{section}`", nearest(name, known))
                continue
            check, wanted = known[name]
            read = check(self._value(value))
            if read is None:
                self.complain(value, f"`{name}` must be {wanted}")
            fields[name] = read
        missing = [name for name in _NEEDED[section] if name not in fields]
        if missing and len(self.problems) == before:
            self.complain(node, f"an item of `{section}` needs {', '.join(f'`{each}`' for each in missing)}")
        if len(self.problems) > before:
            return None
        return Item(span_of(node), fields)

    def _value(self, node: yaml.Node) -> Any:
        # What looks like a number in base 60, or a time, is meant as it is written where text is wanted.
        try:
            return SafeConstructor().construct_document(node)
        except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError):
            return None
