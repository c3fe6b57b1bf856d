"""Kinds of selector, told apart in the right order."""

from __future__ import annotations

import pytest

from acl.selectors import SelectorKind, parse_selector, split_destination


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("*", SelectorKind.WILDCARD),
        ("autogroup:member", SelectorKind.AUTOGROUP),
        ("group:x@example.com", SelectorKind.GROUP),
        ("tag:server", SelectorKind.TAG),
        ("ipset:x", SelectorKind.IPSET),
        ("svc:web", SelectorKind.SERVICE),
        ("user:*@example.com", SelectorKind.DOMAIN),
        ("10.0.0.0/8", SelectorKind.PREFIX),
        ("[fd7a::1]", SelectorKind.PREFIX),
        ("alice@example.com", SelectorKind.USER),
        ("alice@", SelectorKind.USER),
        ("webserver", SelectorKind.HOST),
        ("", SelectorKind.HOST),
    ],
)
def test_kinds(text: str, kind: SelectorKind) -> None:
    assert parse_selector(f"  {text} ").kind is kind


def test_spellings_are_unified() -> None:
    assert parse_selector(" autogroup:members").text == "autogroup:member"
    assert parse_selector("user:*@example.com").domain == "example.com"
    assert parse_selector("alice@example.com").domain == ""


def test_destinations_split_at_the_last_colon() -> None:
    assert split_destination("tag:server:22") == ("tag:server", "22")
    assert split_destination("[fd7a::1]:22") == ("[fd7a::1]", "22")
    assert split_destination("tag:server") == ("tag", "server")
    assert split_destination("host") == ("", "host")
