"""Which nodes wait for approval."""

from __future__ import annotations

from coordinator.tailnet.device_approval import ApprovalRule
from coordinator.tailnet.nodes import APPROVED, PENDING, REJECTED
from tests.support.builders import make_key, make_node, make_user

RULE = ApprovalRule(
    required=True, exempt_users=frozenset({"user2"}), exempt_tags=frozenset({"tag:ci", "tag:web"})
)


def test_new_nodes_wait_only_where_it_is_required() -> None:
    assert RULE.state(user=make_user(1), tags=(), key=None, former=None) == PENDING
    assert ApprovalRule().state(user=make_user(1), tags=(), key=None, former=None) == APPROVED


def test_exemptions() -> None:
    assert RULE.state(user=make_user(2), tags=(), key=None, former=None) == APPROVED
    assert RULE.state(user=None, tags=("tag:ci", "tag:web"), key=None, former=None) == APPROVED
    assert RULE.state(user=None, tags=("tag:ci", "tag:prod"), key=None, former=None) == PENDING
    key, _ = make_key(preapproved=True)
    assert RULE.state(user=make_user(1), tags=(), key=key, former=None) == APPROVED


def test_who_comes_back() -> None:
    user, key = make_user(1), make_key(preapproved=True)[0]
    was = {state: make_node(1, approval=state) for state in (APPROVED, PENDING, REJECTED)}
    assert RULE.state(user=user, tags=(), key=None, former=was[APPROVED]) == APPROVED
    assert RULE.state(user=user, tags=(), key=None, former=was[PENDING]) == PENDING
    assert RULE.state(user=make_user(2), tags=(), key=None, former=was[REJECTED]) == PENDING
    assert RULE.state(user=user, tags=(), key=key, former=was[REJECTED]) == APPROVED
    assert ApprovalRule().state(user=user, tags=(), key=None, former=was[REJECTED]) == PENDING
