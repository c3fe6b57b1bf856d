"""The profiles of a declaration, in both ways to write them, with the place of every mistake."""

from __future__ import annotations

import pytest

from acl.problems import PolicyError, Problem, Span
from coordinator.wireguard.declared import read_declaration
from coordinator.wireguard.declared_profiles import in_the_file

MAPPING = """\
profiles:
  db:
    src: ["group:ops"]
    dst: ["10.20.0.0/24:5432"]
    defaultDuration: 90m
    maxActive: 3
    proto: ~
"""
LIST = """\
profiles:
  - name: db
    src: ["group:ops"]
    dst: ["10.20.0.0/24:5432"]
    defaultDuration: 90m
    maxActive: 3
"""
BODY = {"src": ["group:ops"], "dst": ["10.20.0.0/24:5432"], "defaultDuration": "90m", "maxActive": 3}


def test_both_ways_to_write_them() -> None:
    (mapped,), (listed,) = read_declaration(MAPPING).profiles, read_declaration(LIST).profiles
    assert mapped.body == listed.body == BODY
    assert mapped.name == listed.name == "db"
    assert mapped.profile.declared
    assert [word.text for word in mapped.profile.dst] == ["10.20.0.0/24:5432"]
    assert (str(mapped.span), str(listed.span)) == ("line 2, column 3", "line 2, column 11")
    assert read_declaration("profiles:").profiles == read_declaration("profiles: {}").profiles == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profiles: 7", "line 1, column 11: `profiles` must be a mapping of names to profiles"),
        ("profiles:\n  db: 7", 'line 2, column 7: access.profiles["db"]: expected an object, found a number'),
        ("profiles:\n  db: {dsst: []}", "line 2, column 8: access.profiles[\"db\"]: unknown key `dsst`"),
        ("profiles:\n  db: {src: a}", "line 2, column 13: access.profiles[\"db\"].src: expected a list of"),
        ("profiles:\n  db: {dst: [tag:web:22,443]}", "line 2, column 25: access.profiles[\"db\"].dst:"),
        ("profiles:\n  - {src: []}", "line 2, column 5: an item of `profiles` needs a `name`, which is text"),
        ("profiles: [{name: 5}]", "needs a `name`"),
        ("profiles:\n  ' x': {}", "line 2, column 3: a profile needs a name, without spaces"),
        ("profiles: [{name: a}, {name: a}]", "profile `a` is declared twice, first in line 1, column 19"),
        ("profiles:\n  a: {}\n  a: {}", "line 3, column 3: key `a` is given twice"),
        ("profiles:\n  a: {src: [], src: []}", "line 2, column 16: key `src` is given twice"),
        ("profiles: &a {x: *a}", "is nested more than 8 deep"),
        ("profiles: {x: {src: [" + "a, " * 1001 + "]}}", "more than 1000 items"),
        ("profiles: [" + "{}, " * 501 + "]", "more than 500 items"),
    ],
)  # fmt: skip
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read_declaration(text)
    assert message in str(caught.value)


def test_places_for_whoever_has_the_file_before_them() -> None:
    span = Span(line=3, column=4, end_line=3, end_column=5)
    assert (
        str(in_the_file(Problem(code="x", message="bad", span=span)))
        == "in the policy, line 3, column 4: bad"
    )
    declared = Span(line=3, column=4, end_line=3, end_column=5, document="db")
    assert str(in_the_file(Problem(code="x", message="bad", span=declared))) == "line 3, column 4: bad"
    assert str(in_the_file(Problem(code="x", message="bad"))) == "bad"
