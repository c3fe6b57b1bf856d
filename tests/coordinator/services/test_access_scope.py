"""What somebody sees of profiles and requests; through the API in `web/api/test_access_persons`."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from coordinator.services.access_rules import AccessRules
from coordinator.services.access_scope import AccessScope
from coordinator.services.policy import PolicyService
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.errors import ForbiddenError
from coordinator.tailnet.state import StoredPolicy, TailnetState
from tests.support.builders import FakeClock, make_user
from tests.support.tailnets import make_tailnet

NOW = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
ASKER, LEAD, GUEST, AUDITOR = (make_user(number) for number in (1, 2, 3, 4))
AUDITOR = replace(AUDITOR, role="auditor")
POLICY = json.dumps(
    {
        "tagOwners": {"tag:mgmt": []},
        "access": {
            "profiles": {"mgmt": {"src": ["user1@"], "dst": ["tag:mgmt:22"], "approvers": ["user2@"]}}
        },
    }
)


async def no_versions(limit: int) -> list[StoredPolicy]:
    return []


async def make_scope() -> AccessScope:
    users = {user.id: user for user in (ASKER, LEAD, GUEST, AUDITOR)}
    stored = StoredPolicy(id=1, text=POLICY, created_at=NOW, author="", note="")
    tailnet, _, _ = make_tailnet(TailnetState(users=users), policy=POLICY, clock=FakeClock(NOW))
    policy = PolicyService(tailnet, path=None, database_mode=True, stored=stored, versions=no_versions)
    policy.load()
    return AccessScope(tailnet, AccessRules(tailnet, policy))


REQUEST = AccessRequest(
    id=1, profile="mgmt", user_id=ASKER.id, node_id=None, duration=timedelta(hours=1), reason="", ticket="",
    requested_at=NOW, answer_by=NOW, break_glass=True,
)  # fmt: skip


async def test_who_sees_a_request_and_its_profile() -> None:
    scope = await make_scope()
    for person, sees in ((ASKER, True), (LEAD, True), (GUEST, False), (AUDITOR, True), (None, True)):
        assert bool(scope.visible([REQUEST], person)) is sees
        assert bool(scope.profiles(person)) is sees
    gone = replace(REQUEST, profile="gone")
    assert scope.visible([gone], ASKER)
    assert not scope.visible([gone], LEAD)


async def test_rights_and_reviews() -> None:
    scope = await make_scope()
    scope.require_right(AUDITOR, "access:read")
    scope.require_right(None, "access:write")
    with pytest.raises(ForbiddenError, match="lacks the right access:write"):
        scope.require_right(AUDITOR, "access:write")
    for person in (None, LEAD, replace(GUEST, role="admin")):
        scope.require_reviewer(person, REQUEST)
    with pytest.raises(ForbiddenError, match="no approver"):
        scope.require_reviewer(AUDITOR, REQUEST)
