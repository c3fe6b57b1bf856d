"""What `nft -j` lists of the table: counters, and a form in which two lists of equal rules are equal.
Pure."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from coordinator.gateway.checked import shown
from coordinator.gateway.seen import NotUnderstoodError

T = TypeVar("T")

# What differs between two lists of the same rules: numbers the kernel hands out, and what time and
# packets change.
_VOLATILE = {"handle", "packets", "bytes", "expires", "timeout"}
_UNORDERED = {"elem", "set"}


class _Counter(msgspec.Struct):
    name: str
    packets: int
    bytes: int


class _Counted(msgspec.Struct):
    counter: _Counter | None = None


class _Counters(msgspec.Struct):
    nftables: list[_Counted]


class _Entries(msgspec.Struct):
    # Not yet parsed: the objects of a list of thousands of peers need twenty times its length.
    nftables: list[msgspec.Raw]


def read_counters(text: str) -> dict[str, tuple[int, int]]:
    """`nft -j list counters table …`: (packets, bytes) by name."""
    found = (entry.counter for entry in _decoded(text, _Counters).nftables)
    return {each.name: (each.packets, each.bytes) for each in found if each is not None}


def fingerprint(text: str) -> int:
    """Equal for lists of tables that do the same; rules keep their order, entries of sets and maps have none.

    A timeout is what was left when its entry was made, so it differs between equal tables too.
    """
    # Objects are listed by kind; within a chain the rules stand in their order.
    chains: dict[str, list[int]] = {}
    others = []
    for raw in _decoded(text, _Entries).nftables:
        entry = _stable(_one(raw))
        if (rule := entry.get("rule")) is not None:
            chains.setdefault(rule["chain"], []).append(hash(json.dumps(rule, sort_keys=True)))
        elif "metainfo" not in entry:
            others.append(hash(json.dumps(entry, sort_keys=True)))
    return hash(
        (tuple(sorted(others)), tuple(sorted((name, tuple(rules)) for name, rules in chains.items())))
    )


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) <= {"val", "timeout", "expires"} and "val" in value:
            # An entry with a timeout is listed as an object, one without as the bare value.
            return _stable(value["val"])
        return {
            name: _sorted(_stable(inner))
            if name in _UNORDERED and isinstance(inner, list)
            else _stable(inner)
            for name, inner in value.items()
            if name not in _VOLATILE
        }
    if isinstance(value, list):
        return [_stable(inner) for inner in value]
    return value


def _sorted(values: list[Any]) -> list[Any]:
    return sorted(values, key=lambda value: json.dumps(value, sort_keys=True))


def _one(raw: msgspec.Raw) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise _not_understood(bytes(raw).decode(errors="replace")) from error


def _decoded(text: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise _not_understood(text) from error


def _not_understood(text: str) -> NotUnderstoodError:
    return NotUnderstoodError(f"`nft -j list` printed `{shown(text)}`")
