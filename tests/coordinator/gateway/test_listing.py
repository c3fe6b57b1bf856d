"""Comparing lists of rules."""

import json

import pytest

from coordinator.gateway.listing import fingerprint, read_counters
from coordinator.gateway.seen import NotUnderstoodError


def listed(*, packets: int = 0, expires: int = 9, reverse: bool = False, extra: bool = False) -> str:
    """Two chains, a map, a counter."""
    elements = [
        [{"elem": {"val": "10.99.0.2", "timeout": 100, "expires": expires}}, {"goto": {"target": "a"}}],
        ["10.99.0.3", {"goto": {"target": "b"}}],
    ]
    rules = [
        {"rule": {"chain": "a", "handle": packets, "expr": [{"accept": None}]}},
        {"rule": {"chain": "a", "handle": 9, "expr": [{"counter": {"packets": packets, "bytes": 1}}]}},
    ]
    entries = [
        {"metainfo": {"version": "1"}},
        {"counter": {"name": "x", "packets": packets, "bytes": packets * 10, "handle": packets}},
        {"map": {"name": "m", "elem": elements[::-1] if reverse else elements}},
        {"chain": {"name": "a"}},
        *(rules[::-1] if extra else rules),
    ]
    return json.dumps({"nftables": entries})


def test_what_changes_by_itself_does_not_count() -> None:
    assert fingerprint(listed()) == fingerprint(listed(packets=7, expires=1, reverse=True))


def test_the_order_of_rules_counts() -> None:
    assert fingerprint(listed()) != fingerprint(listed(extra=True))


def test_everything_else_counts() -> None:
    for old, new in (("10.99.0.3", "10.99.0.4"), ('"m"', '"n"'), ("accept", "drop"), ('"b"', '"a"')):
        assert fingerprint(listed()) != fingerprint(listed().replace(old, new)), old


def test_counters() -> None:
    assert read_counters(listed(packets=3)) == {"x": (3, 30)}


@pytest.mark.parametrize("text", ["", "{}", "[]", "Error"])
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(NotUnderstoodError):
        read_counters(text)
