"""What is told of a step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from coordinator.tailnet.access import Approval
from coordinator.webhooks.events import duration, facts, headline
from tests.support.builders import NOW
from tests.support.webhooks import make_event, make_request

OPENED = {
    "opens_at": NOW,
    "closes_at": NOW + timedelta(hours=1),
    "approvals": (Approval(by="bob", at=NOW),),
}


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        ("requested", {}, "alice asks for `mgmt`"),
        ("break-glass", {}, "BREAK-GLASS: alice opened `mgmt` without approval"),
        ("denied", {}, "alice denied alice `mgmt`"),
        ("opened", OPENED, "`mgmt` is open for alice until 2026-06-01 13:00 UTC"),
        ("opened", OPENED | {"incident": "fire"}, "`mgmt` (incident fire) is open for alice until"),
        ("ended", OPENED | {"end_reason": "revoked"}, "`mgmt` is closed for alice: revoked"),
        ("ended", {"end_reason": "expired"}, "nobody answered in time"),
        ("ended", {"end_reason": "given back"}, "taken back"),
    ],
)
def test_headlines(name: str, changes: dict[str, Any], text: str) -> None:
    assert text in headline(make_event(name=name, request=make_request(**changes)))


def test_facts_are_what_an_approver_has_to_know() -> None:
    assert dict(facts(make_event())) == {
        "Request": "7",
        "From": "laptop",
        "For": "1h 30m",
        "Reason": "disk full",
        "Ticket": "OPS-7",
        "Approvers": "bob, carol",
        "Approvals": "0 of 1",
        "Answer until": "2026-06-01 13:00 UTC",
    }
    opened = make_event(name="opened", state="active", request=make_request(**OPENED, ticket=""))
    assert ("Approved by", "bob") in facts(opened)
    assert "Ticket" not in dict(facts(opened))
    assert not make_event(state="active").open_question


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (3600, "1h"), (5460, "1h 31m")])
def test_durations(seconds: int, text: str) -> None:
    assert duration(make_request(duration=timedelta(seconds=seconds))) == text
