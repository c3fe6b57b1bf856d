"""Who may apply a tag."""

from __future__ import annotations

from tests.acl.tailnets import index, policy

OWNERS = policy(
    groups={"group:dev": ["bob@example.com"]},
    tagOwners={
        "tag:a": ["group:dev"],
        "tag:b": ["tag:a"],
        "tag:own": ["tag:own"],
        "tag:x": ["tag:y"],
        "tag:y": ["tag:x", "carol@example.org"],
        "tag:admins": [],
        "tag:all": ["autogroup:members"],
    },
)


def test_users_and_groups() -> None:
    idx = index(OWNERS)
    assert idx.tag_allowed("tag:a", 2)
    assert not idx.tag_allowed("tag:a", 3)
    assert idx.tag_allowed("tag:all", 3)
    assert not idx.tag_allowed("tag:all", None)
    assert not idx.tag_allowed("tag:unknown", 1)


def test_tags_own_tags() -> None:
    idx = index(OWNERS)
    assert idx.tag_allowed("tag:b", None, ["tag:a"])
    assert idx.tag_allowed("tag:b", 2)
    assert not idx.tag_allowed("tag:a", None, ["tag:b"])


def test_loops_give_nobody_anything() -> None:
    idx = index(OWNERS)
    assert not idx.tag_allowed("tag:own", 1)
    assert idx.tag_allowed("tag:x", 3)
    assert not idx.tag_allowed("tag:x", 1)


def test_a_tag_without_owners_is_the_admins() -> None:
    idx = index(OWNERS)
    assert [idx.tag_allowed("tag:admins", user) for user in (1, 2, 3)] == [True, True, False]
    assert not index(None).tag_exists("tag:a")
