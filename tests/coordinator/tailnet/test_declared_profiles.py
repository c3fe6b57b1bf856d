"""Stored profiles: the same profile is the same text."""

from __future__ import annotations

from coordinator.tailnet.declared_profiles import DeclaredProfile, body_text, differing_keys
from tests.support.builders import NOW


def test_the_order_of_keys_makes_no_difference() -> None:
    assert body_text({"src": ["ä"], "dst": []}) == body_text({"dst": [], "src": ["ä"]})
    text = body_text({"src": ["ä"]})
    assert DeclaredProfile(name="x", body=text, declared_by="me", since=NOW).value() == {"src": ["ä"]}


def test_what_differs() -> None:
    assert differing_keys({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 3, "d": 4}) == ["b", "c", "d"]
