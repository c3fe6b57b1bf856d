"""Who makes the request under way."""

from __future__ import annotations

from aiohttp.test_utils import make_mocked_request

from coordinator.web.visitors import Visitor, proven_visitor, visited_by, visitor
from tests.support.builders import make_user


async def test_a_person_is_known_within_the_block_alone() -> None:
    assert visitor() is None
    ada = Visitor(user=make_user(1))
    with visited_by(ada):
        assert visitor() is ada
        assert await proven_visitor(make_mocked_request("GET", "/access")) is ada
        with visited_by(None):
            assert visitor() is None
    assert visitor() is None
