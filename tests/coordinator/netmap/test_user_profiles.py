"""User profiles."""

from __future__ import annotations

from coordinator.netmap.user_profiles import owners, profile
from coordinator.tailnet.users import TAGGED_DEVICES_USER_ID, UserID
from tests.coordinator.netmap.test_builder import world_of
from tests.support.builders import make_node


def test_only_owners_of_visible_nodes() -> None:
    snapshot = world_of(make_node(1), make_node(2, tags=("tag:a",)), make_node(3, user_id=2)).snapshot
    assert owners(snapshot, 0b011) == (1, TAGGED_DEVICES_USER_ID)
    assert owners(snapshot, 0b100) == (2,)


def test_a_login_name_is_never_empty() -> None:
    snapshot = world_of(make_node(1)).snapshot
    for user_id in (UserID(1), UserID(77), TAGGED_DEVICES_USER_ID):
        assert profile(snapshot, user_id)["LoginName"]
