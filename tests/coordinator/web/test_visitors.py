"""Who makes the request under way."""

from __future__ import annotations

from coordinator.web.visitors import Visitor, visited_by, visitor
from tests.support.builders import make_user


def test_a_person_is_known_within_the_block_alone() -> None:
    assert visitor() is None
    ada = Visitor(user=make_user(1))
    with visited_by(ada):
        assert visitor() is ada
        with visited_by(None):
            assert visitor() is None
    assert visitor() is None
