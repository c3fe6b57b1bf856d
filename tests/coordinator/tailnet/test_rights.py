"""The table of roles and rights."""

from __future__ import annotations

import pytest

from coordinator.tailnet.errors import InvalidError
from coordinator.tailnet.rights import ALL, READING, ROLE_RIGHTS, may, may_give, rights_of
from coordinator.tailnet.users import ROLES


def test_each_role_has_a_line() -> None:
    assert tuple(ROLE_RIGHTS) == ROLES


def test_who_may_change_anything() -> None:
    writers = {role: {right for right in rights_of(role) if right.endswith(":write")} for role in ROLES}
    assert writers["owner"] == writers["admin"] == ALL - READING
    assert writers["network-admin"] == {"policy:write", "access:write", "wireguard:write"}
    assert writers["it-admin"] == {"nodes:write", "users:write", "keys:write"}
    assert not (writers["auditor"] or writers["billing-admin"] or writers["member"])


def test_an_auditor_reads_everything_and_a_member_nothing() -> None:
    assert rights_of("auditor") == READING
    assert rights_of("member") == frozenset()
    assert may("auditor", "audit:read")
    assert not may("member", "nodes:read")


def test_nobody_makes_their_own_superiors() -> None:
    assert may_give("owner", "owner")
    assert not may_give("admin", "owner")
    assert may_give("admin", "admin")
    assert may_give("it-admin", "auditor")
    assert not may_give("it-admin", "admin")
    assert not may_give("it-admin", "network-admin")
    assert not may_give("auditor", "member")


def test_an_unknown_role_is_named() -> None:
    with pytest.raises(InvalidError, match="`root` is no role: use one of owner, admin"):
        rights_of("root")
