"""What an explanation says of profiles and open windows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import acl
from tests.acl.tailnets import index, node, policy

PROFILES: dict[str, Any] = {
    "mgmt": {
        "src": ["alice@example.com"],
        "dst": ["tag:server:22"],
        "approvers": ["bob@example.com", "carol@example.org"],
        "approvals": 2,
        "proto": "tcp",
    },
    "net": {"src": ["group:ops"], "dst": ["10.0.0.0/8:22", "tag:db:*"], "via": ["tag:router"]},
    "mac": {"src": ["alice@"], "dst": ["tag:client:1"], "srcPosture": ["posture:mac"]},
}


def tailnet() -> acl.PolicyIndex:
    return index(
        policy(
            acls=[],
            groups={"group:ops": ["bob@example.com"]},
            postures={"posture:mac": ["node:os == 'macos'"]},
            access={"profiles": PROFILES},
        ),
        node(1, 1),
        node(2, "tag:server"),
        node(3, "tag:db"),
        node(4, "tag:client"),
    )


def sentences(found: acl.Explanation) -> list[str]:
    return [hint.sentence("here") for hint in found.profiles]


def test_what_could_be_asked_for() -> None:
    found = acl.explain(tailnet(), "n1", "n2", 22)
    assert not found.allowed
    assert sentences(found) == [
        "not now, but through profile `mgmt` (here), approved by 2 of bob@example.com, carol@example.org"
    ]
    assert acl.explain(tailnet(), "n1", "n2", 22, "udp").profiles == ()
    assert acl.explain(tailnet(), "n1", "n2", 23).profiles == ()


def test_what_only_others_could_ask_for() -> None:
    for destination in ("n3", "10.1.2.3"):
        found = acl.explain(tailnet(), "n1", destination, 22)
        assert sentences(found) == ["not now, and through profile `net` (here) only group:ops may ask"]


def test_what_an_open_window_allows() -> None:
    idx, closes = tailnet(), datetime(2026, 7, 15, 13, 0, tzinfo=UTC)
    idx.set_windows(
        [
            acl.OpenWindow(id=7, profile="mgmt", nodes=(1,), closes_at=closes),
            acl.OpenWindow(id=8, profile="mac", nodes=(1,)),
        ]
    )
    found = acl.explain(idx, "n1", "n2", 22)
    assert found.allowed
    assert found.rule == "access.profiles[mgmt]"
    assert found.reason == "allowed until 2026-07-15 13:00:00 UTC by request 7 through profile `mgmt`"
    assert not acl.explain(idx, "n3", "n2", 22).allowed
    assert not acl.explain(idx, "n1", "n4", 1).allowed, "the posture is missing"
    idx.upsert(node(1, 1, attributes={"node:os": "macos"}))
    assert acl.explain(idx, "n1", "n4", 1).reason == "allowed by request 8 through profile `mac`"
