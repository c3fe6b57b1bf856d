"""Liberal reading of bodies."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.tailnet.errors import InvalidError
from coordinator.web.api.body import Body, parse_moment


def test_every_spelling_and_kind_of_id() -> None:
    for fields in ({"aclTags": ["a"], "user": 7}, {"acl_tags": ["a"], "user": "7"}):
        body = Body(fields)
        assert body.texts("aclTags") == ["a"]
        assert body.number("user") == 7


def test_times_need_a_zone() -> None:
    assert parse_moment("x", "2026-01-01T01:00:00+01:00") == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(InvalidError, match="time zone"):
        parse_moment("x", "2026-01-01T00:00:00")


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=9)
    | st.lists(st.text(max_size=3), max_size=2)
)


@given(VALUES)
def test_a_value_is_read_or_refused_by_name(value: object) -> None:
    body = Body({"name": value})
    for read in (body.text, body.flag, body.number, body.texts, body.moment):
        try:
            read("name")
        except InvalidError as error:
            assert "name" in error.message
