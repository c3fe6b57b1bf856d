"""Identities of users."""

from __future__ import annotations

from coordinator.tailnet.identities import LinkedIdentity, united_groups
from coordinator.tailnet.users import UserID
from tests.support.builders import NOW


def test_a_user_is_in_the_groups_of_all_their_identities() -> None:
    identities = [
        LinkedIdentity(id=f"https://i/{number}", user_id=UserID(1), groups=groups, linked_at=NOW)
        for number, groups in enumerate([("group:b",), (), ("group:a", "group:b")])
    ]
    assert united_groups(identities) == ("group:a", "group:b")
    assert united_groups([]) == ()
