"""Canonical HuJSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acl import PolicyError, parse_policy, standardize
from acl.formatting import format_policy

EXAMPLE = Path(__file__).resolve().parents[2] / "config" / "acls.hujson"

UGLY = """// head
{ "groups":{"group:a":["x@y.z" ,/* why */ "b@y.z"]}, // teams


  "acls":[ {"action":"accept","src":["*"],
  "dst":["*:*"]} ], /* end */ }
// tail"""

PRETTY = """// head
{
  "groups": {
    "group:a": [
      "x@y.z", /* why */
      "b@y.z",
    ],
  }, // teams

  "acls": [
    {"action": "accept", "src": ["*"], "dst": ["*:*"]},
  ], /* end */
}
// tail
"""


def test_layout() -> None:
    assert format_policy(UGLY) == PRETTY


def test_the_example_keeps_its_meaning_and_its_comments() -> None:
    text = EXAMPLE.read_text()
    formatted = format_policy(text)
    assert json.loads(standardize(formatted)) == json.loads(standardize(text))
    assert formatted.count("//") == text.count("//")
    parse_policy(formatted)


def test_what_is_no_hujson_is_refused() -> None:
    with pytest.raises(PolicyError):
        format_policy('{"a": }')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)
NOISE = st.sampled_from([" ", "\n", "// c\n", "/* c */", "\n\n\n", "\t"])


@settings(max_examples=150)
@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4), st.lists(NOISE, min_size=1, max_size=9))
def test_formatting_twice_changes_nothing_and_loses_nothing(
    document: dict[str, object], noise: list[str]
) -> None:
    pieces, turn, quoted, escaped = [], 0, False, False
    for character in json.dumps(document):
        if not quoted and character in "{}[],:":
            pieces.append(noise[turn % len(noise)])
            turn += 1
        pieces.append(character)
        quoted ^= character == '"' and not escaped
        escaped = character == "\\" and not escaped
    text = "".join(pieces)
    once = format_policy(text)
    assert json.loads(standardize(once)) == document
    assert format_policy(once) == once
    assert once.count("/* c */") == text.count("/* c */")
