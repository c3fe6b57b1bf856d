"""User names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.tailnet.errors import ForbiddenError, InvalidError
from coordinator.tailnet.users import ROLES, require_active, validate_role, validate_user_name
from tests.support.builders import NOW, make_user


@pytest.mark.parametrize("name", ["al", "alice", "alice.b-c_d", "alice@example.com"])
def test_good_names(name: str) -> None:
    assert validate_user_name(name) == name


@pytest.mark.parametrize("name", ["", "a", "1a", "a b", "a/b", "a@b@c", "äa", "-ab", "a\n", "a" * 300])
def test_bad_names_say_why(name: str) -> None:
    with pytest.raises(InvalidError, match="user name"):
        validate_user_name(name)


@given(st.text(max_size=20))
def test_any_text_is_taken_or_refused(name: str) -> None:
    try:
        validate_user_name(name)
    except InvalidError:
        return


def test_the_login_is_never_empty() -> None:
    assert make_user(name="alice").login == "alice"
    assert make_user(name="alice", email="a@b.c").login == "a@b.c"


def test_roles_are_known_by_name() -> None:
    assert [validate_role(role) for role in ROLES] == list(ROLES)
    with pytest.raises(InvalidError, match="`Admin` is no role: use one of owner, admin"):
        validate_role("Admin")


def test_nothing_is_done_for_a_suspended_user() -> None:
    active, suspended = make_user(1), make_user(2, suspended_at=NOW)
    assert require_active(active) is active
    with pytest.raises(ForbiddenError, match="user `user2` is suspended"):
        require_active(suspended)
