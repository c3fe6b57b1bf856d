"""Posture assertions and version order."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acl.postures import PostureError, compare_versions, parse_assertion, satisfies

DEVICE = {"node:os": "macos", "node:osVersion": "13.10.2", "custom:tier": 3, "custom:managed": True}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("node:os == 'macos'", True),
        ('node:os == "macos"', True),
        ("node:os != 'macos'", False),
        ("node:os IN ['linux', 'macos']", True),
        ("node:os NOT IN ['linux', 'windows']", True),
        ("node:os not in ['macos']", False),
        ("node:osVersion >= '13.9'", True),
        ("node:osVersion < '13.10'", False),
        ("node:osVersion >= 13", True),
        ("custom:tier > 2", True),
        ("custom:tier <= 2.5", False),
        ("custom:tier == true", False),
        ("custom:managed", True),
        ("custom:managed == true", True),
        ("custom:managed > 1", False),
        ("custom:absent != 'x'", False),
        ("custom:absent NOT IN ['x']", False),
    ],
)
def test_assertions(text: str, holds: bool) -> None:
    assert satisfies([parse_assertion(text)], DEVICE) is holds


def test_every_assertion_must_hold() -> None:
    both = [parse_assertion("node:os == 'macos'"), parse_assertion("custom:tier > 5")]
    assert not satisfies(both, DEVICE)
    assert satisfies([], DEVICE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "os == 'x'",
        "node:os = 'x'",
        "node:os == x",
        "node:os == 'x' and",
        "node:os IN 'x'",
        "node:os IN ['x'",
        "node:os ==",
    ],
)
def test_bad_assertions(text: str) -> None:
    with pytest.raises(PostureError):
        parse_assertion(text)


def test_versions_compare_field_by_field() -> None:
    ordered = ["1.9", "1.10", "1.10.1", "1.10.1-rc1", "2"]
    for earlier, later in pairwise(ordered):
        assert compare_versions(earlier, later) < 0
        assert compare_versions(later, earlier) > 0
    assert compare_versions("1.02", "1.2") == 0


@settings(max_examples=150)
@given(st.text(alphabet="node:os=!<>INOT[]', 0.5x", max_size=24))
def test_any_text_is_an_assertion_or_the_documented_error(text: str) -> None:
    try:
        satisfies([parse_assertion(text)], DEVICE)
    except PostureError as error:
        assert str(error)
