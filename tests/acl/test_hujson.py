"""HuJSON: what is accepted, where what is wrong is, and that nothing else is raised."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acl.hujson import MAX_DEPTH, MAX_SIZE, decode_policy, parse_hujson, standardize
from acl.problems import PolicyError


def rejected(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        parse_hujson(text)
    return str(caught.value)


def test_comments_and_trailing_commas() -> None:
    text = '// first\n{ "a": [1, 2,], /* in\nside */ "b": "// no comment", }\n// last'
    assert parse_hujson(text).plain() == {"a": [1, 2], "b": "// no comment"}
    assert standardize(text) == '{"a":[1,2],"b":"// no comment"}'


def test_spans_point_at_the_text() -> None:
    value = parse_hujson('{\n  "ключ": [true,\n    "x"]}')
    member = value.members()[0]
    assert (member.key_span.line, member.key_span.column, member.key_span.end_column) == (2, 3, 9)
    item = member.value.items()[1]
    assert (item.span.line, item.span.column, item.span.end_column) == (3, 5, 8)
    assert [v.kind for v in (value, member.value, item)] == ["an object", "a list", "a string"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: expected a value, found the end of the text"),
        ("{", "line 1, column 2: expected a quoted name, found the end of the text"),
        ('{"a" 1}', "line 1, column 6: expected `:` after a name, found `1`"),
        ('{"a": 1 "b": 2}', 'line 1, column 9: expected `,` or `}` in this object, found `"`'),
        ("{a: 1}", "line 1, column 2: expected a quoted name, found `a`"),
        ('{"a": accept // hi\n}', "line 1, column 7: `accept` is not a JSON value"),
        ("{} {}", "line 1, column 4: expected the end of the text, found `{`"),
        ("[1,,2]", "line 1, column 4: expected a value, found `,`"),
        ("[,]", "line 1, column 2: expected a value, found `,`"),
        ("[01]", "line 1, column 2: `01` is not a JSON value"),
        ("[1e999]", "line 1, column 2: number is too large"),
        ("['x']", "line 1, column 2: expected a value, found `'`"),
        ('["x', "line 1, column 2: string is never closed"),
        ('["\t"]', "line 1, column 3: control character in a string, write it as an escape"),
        (r'["\x"]', "line 1, column 3: unknown escape in a string"),
        (r'["\ud800"]', "line 1, column 2: half of a surrogate pair in a string"),
        ("/* [", "line 1, column 1: comment is never closed"),
        ("# x\n{}", "line 1, column 1: expected a value, found `#`"),
    ],
)
def test_what_is_rejected_and_where(text: str, message: str) -> None:
    assert rejected(text) == message


def test_every_duplicate_key_is_reported() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_hujson('{"a": 1,\n "a": 2,\n "b": {"c": 1, "c": 2}}')
    found = [(p.code, p.span.line if p.span else 0) for p in caught.value.problems]
    assert found == [("duplicate-key", 2), ("duplicate-key", 3)]


def test_limits() -> None:
    assert parse_hujson("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert "nested more than" in rejected("[" * (MAX_DEPTH + 1))
    assert "nested more than" in rejected("[" * 100_000)
    assert "longer than" in rejected(" " * (MAX_SIZE + 1))


def test_bytes_that_are_no_utf8() -> None:
    with pytest.raises(PolicyError, match="line 2, column 3: text is not UTF-8"):
        decode_policy(b"{\n  \xff}")
    assert decode_policy(b"\xef\xbb\xbf{}") == "{}"
    assert "not UTF-8" in rejected('{"a": "\ud800"}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(JSON, st.booleans())
def test_json_reads_as_what_it_is(value: Any, ascii_only: bool) -> None:
    assert parse_hujson(json.dumps(value, ensure_ascii=ascii_only)).plain() == value


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='{}[]",:/*\\\n 01e-.truefalsnx\ud800é', max_size=40))
def test_any_text_is_a_value_or_a_policy_error(text: str) -> None:
    try:
        value = parse_hujson(text)
    except PolicyError as error:
        assert error.problems
        assert all(p.span is not None and p.span.line >= 1 and p.span.column >= 1 for p in error.problems)
    else:
        assert json.loads(standardize(text)) == value.plain()
