"""Liberal reading of bodies."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.tailnet.errors import InvalidError, NotFoundError
from coordinator.web.api.body import Body, find_user, parse_id, parse_moment


def test_every_spelling_and_kind_of_id() -> None:
    for fields in ({"aclTags": ["a"], "user": 7}, {"acl_tags": ["a"], "user": "7"}):
        body = Body(fields)
        assert body.texts("aclTags") == ["a"]
        assert body.number("user") == 7


def test_times_need_a_zone() -> None:
    assert parse_moment("x", "2026-01-01T01:00:00+01:00") == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(InvalidError, match="time zone"):
        parse_moment("x", "2026-01-01T00:00:00")


@pytest.mark.parametrize("text", ["\ud800", "a\0b"])
def test_what_no_database_keeps_is_refused_by_name(text: str) -> None:
    for read in (Body({"name": text}).text, Body({"name": [text]}).texts):
        with pytest.raises(InvalidError, match="`name` holds a character"):
            read("name")


@pytest.mark.parametrize("text", ["", "x", "-1", "1.0", "٣", "9" * 19, "9" * 5000])
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(InvalidError, match="ids are numbers"):
        parse_id("node_id", text)


class Nobody:
    """A user service without users."""

    def find(self, text: str) -> object:
        raise NotFoundError(text)


def test_no_user_is_not_any_user() -> None:
    """Users without an e-mail have the empty one, which an empty text must not find."""
    for text in ("", "9" * 5000):
        with pytest.raises(InvalidError):
            find_user(Nobody(), text)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        find_user(Nobody(), "7")  # type: ignore[arg-type]


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
