"""Ticket patterns: the useful ones are taken, those that could run for ever are not."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acl.tickets import MAX_TICKET, PatternError, check_pattern, matches


@pytest.mark.parametrize(
    "pattern",
    [
        "^OPS-[0-9]+$",
        "(?:OPS|NET)-[0-9]{1,6}",
        r"INC\d{7}",
        r"[A-Z]+-\d+",
        "x{3}",
        "a{2,}",
        "(ab){2}",
        "[]a]+",
        r"[\]a]+",
        "{",
        "",
    ],
)
def test_usual_patterns_are_taken(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "not a regular expression: missing ), unterminated subpattern at position 0"),
        ("(a+)+$", "a group with a choice inside (`*`, `+`, `?`, `|`) cannot be repeated"),
        ("(a|a)*$", "a group with a choice inside (`*`, `+`, `?`, `|`) cannot be repeated"),
        ("(a|aa){2,30}", "a group with a choice inside (`*`, `+`, `?`, `|`) cannot be repeated"),
        ("a*a*a*b", "the pattern could take long to match, use fewer `*`, `+`, `?` and `|`"),
        ("a?" * 30 + "a" * 30, "the pattern could take long to match, use fewer `*`, `+`, `?` and `|`"),
        (r"(a)\1", "references to groups (`\\1`) are not supported"),
        ("(?=a)a", "`(?` is supported as `(?:` only"),
        ("(?i)a", "`(?` is supported as `(?:` only"),
        ("a{1,500}", "a count in the pattern is above 100"),
        ("a" * 201, "the pattern is longer than 200 characters"),
    ],
)
def test_dangerous_and_broken_patterns_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(PatternError) as caught:
        check_pattern(pattern)
    assert str(caught.value) == message


def test_the_whole_ticket_has_to_match() -> None:
    assert matches("OPS-[0-9]+", "OPS-12")
    assert not matches("OPS-[0-9]+", "see OPS-12")
    assert not matches("^OPS-[0-9]+$", "OPS-12\n")
    assert not matches(r"\d+", "٣")
    assert not matches("a*", "a" * (MAX_TICKET + 1))


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.sampled_from("ab(|)*+?{1,9}[].\\d:^$"), max_size=24), st.sampled_from(["a", "b", "ab", "1"])
)
def test_whatever_is_taken_is_matched_quickly(pattern: str, letter: str) -> None:
    try:
        check_pattern(pattern)
    except PatternError:
        return
    for ticket in (letter * (MAX_TICKET // len(letter)), letter * 40 + "!"):
        started = time.process_time()
        found = matches(pattern, ticket)
        assert time.process_time() - started < 1
        assert found is (re.fullmatch(pattern, ticket, re.ASCII) is not None)
