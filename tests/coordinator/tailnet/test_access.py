"""The life of a request, by its table and by the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.tailnet.access import EVENTS, AccessRequest, Event, State
from coordinator.tailnet.errors import ConflictError
from coordinator.tailnet.users import UserID
from tests.support.builders import NOW

HOUR = timedelta(hours=1)


def request() -> AccessRequest:
    return AccessRequest(
        id=1,
        profile="mgmt",
        user_id=UserID(1),
        node_id=None,
        duration=HOUR,
        reason="",
        ticket="",
        requested_at=NOW,
        answer_by=NOW + HOUR,
    )


IN_STATE: dict[State, AccessRequest] = {
    "requested": request(),
    "approved": request().opened(NOW + timedelta(minutes=1)),
    "active": request().opened(NOW),
    "denied": replace(request(), denied_at=NOW),
    "unanswered": replace(request(), answer_by=NOW),
    "ended": request().opened(NOW).ended(NOW, "x", "revoked"),
}


@pytest.mark.parametrize("state", EVENTS)
@pytest.mark.parametrize("event", ["approve", "deny", "extend", "revoke", "give back", "review"])
def test_every_row_of_the_table(state: State, event: Event) -> None:
    found = IN_STATE[state]
    assert found.state(NOW) == state
    if event in EVENTS[state]:
        found.require(event, NOW)
    else:
        with pytest.raises(ConflictError, match="request 1 cannot be changed"):
            found.require(event, NOW)


def test_time_alone_moves_it_on() -> None:
    found = request()
    assert [found.state(NOW + hours * HOUR) for hours in (0, 1)] == ["requested", "unanswered"]
    opened = found.approved_by("bob", NOW, needed=1)
    assert [opened.state(NOW + step * HOUR / 2) for step in (0, 1, 2)] == ["active", "active", "ended"]
    assert opened.state(NOW, in_hours=False) == "approved"
    assert (opened.overdue(NOW), opened.overdue(NOW + HOUR)) == (False, True)
    assert not opened.ended(NOW + HOUR, "clock", "expired").overdue(NOW + 2 * HOUR)
    assert opened.ended(NOW + HOUR / 4, "bob", "revoked").length() == HOUR / 4


def test_two_approvals_of_two_people() -> None:
    once = request().approved_by("bob", NOW, needed=2)
    assert once.state(NOW) == "requested"
    with pytest.raises(ConflictError, match="somebody else"):
        once.approved_by("bob", NOW, needed=2)
    named = request().approved_by("bob@old.example", NOW, needed=2, user_id=UserID(7))
    with pytest.raises(ConflictError, match="somebody else"):
        named.approved_by("bob@new.example", NOW, needed=2, user_id=UserID(7))
    assert once.approved_by("carol", NOW, needed=2).state(NOW) == "active"
