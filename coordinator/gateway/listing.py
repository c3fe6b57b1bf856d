"""What `nft -j` lists of the table: counters, and a form in which two lists of equal rules are equal.
Pure."""

from __future__ import annotations

import json
from typing import Any

from coordinator.gateway.checked import shown
from coordinator.gateway.seen import NotUnderstoodError

# What differs between two lists of the same rules: numbers the kernel hands out, and what time and
# packets change.
_VOLATILE = {"handle", "packets", "bytes", "expires", "timeout"}
_UNORDERED = {"elem", "set"}


def read_counters(text: str) -> dict[str, tuple[int, int]]:
    """`nft -j list counters table …`: (packets, bytes) by name."""
    counters = {}
    for entry in _entries(text):
        if (counter := entry.get("counter")) is not None:
            counters[str(counter["name"])] = (int(counter["packets"]), int(counter["bytes"]))
    return counters


def fingerprint(text: str) -> int:
    """Equal for lists of tables that do the same; rules keep their order, entries of sets and maps have none.

    A timeout is what was left when its entry was made, so it differs between equal tables too.
    """
    kept = [_stable(entry) for entry in _entries(text) if "metainfo" not in entry]
    # Objects are listed by kind; within a chain the rules stand in their order.
    chains: dict[str, list[str]] = {}
    others = []
    for entry in kept:
        if (rule := entry.get("rule")) is not None:
            chains.setdefault(rule["chain"], []).append(json.dumps(rule, sort_keys=True))
        else:
            others.append(json.dumps(entry, sort_keys=True))
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


def _entries(text: str) -> list[dict[str, Any]]:
    try:
        return list(json.loads(text)["nftables"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotUnderstoodError(f"`nft -j list` printed `{shown(text)}`") from error
