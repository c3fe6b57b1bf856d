"""What an edit of access profiles opens and closes."""

from __future__ import annotations

import json
from typing import Any

import pytest

import acl
from acl.access import access_changes
from tests.acl.tailnets import FACTS, TAG_OWNERS, USERS

MGMT: dict[str, Any] = {
    "src": ["group:ops"],
    "dst": ["tag:server:22"],
    "approvers": ["bob@example.com"],
    "maxDuration": "4h",
    "ticket": "^OPS-[0-9]+$",
}


def changes(
    old: dict[str, Any] | None,
    new: dict[str, Any] | None,
    ops: str = "alice@example.com",
    *,
    users: bool = True,
) -> list[str]:
    indexes = []
    for profile, group in ((old, "alice@example.com"), (new, ops)):
        document: dict[str, Any] = {"acls": [], "tagOwners": TAG_OWNERS, "groups": {"group:ops": [group]}}
        if profile is not None:
            document["access"] = {"profiles": {"mgmt": profile}}
        document["postures"] = {"posture:a": ["node:os == 'macos'"], "posture:b": ["node:os == 'linux'"]}
        indexes.append(acl.PolicyIndex(acl.parse_policy(json.dumps(document)), FACTS))
    return [str(each) for each in access_changes(*indexes, [], USERS if users else [], {})]


def test_a_new_profile_says_who_could_have_what_and_who_decides() -> None:
    opened = [
        "+ alice@example.com -> tag:server: any:22 on request through mgmt",
        "+ bob@example.com -> profile mgmt: may approve",
    ]
    assert changes(None, MGMT) == opened
    assert changes(MGMT, None) == [each.replace("+", "-") for each in opened]
    assert changes(MGMT, MGMT) == []
    assert changes(None, MGMT, users=False)[-1] == (
        "+ group:ops -> tag:server: any:22 on request through mgmt"
    )


def test_an_edit_of_a_group_names_its_people() -> None:
    assert changes(MGMT, MGMT, "carol@example.org") == [
        "- alice@example.com -> tag:server: any:22 on request through mgmt",
        "+ carol@example.org -> tag:server: any:22 on request through mgmt",
    ]


def test_ports_routers_logins_and_broken_glass() -> None:
    wider = {
        **MGMT,
        "dst": ["tag:server:22,80-90", "10.0.0.0/24:22"],
        "via": ["tag:router"],
        "ssh": {"users": ["root"]},
        "proto": "tcp",
        "breakGlass": ["carol@example.org"],
    }
    assert changes({**MGMT, "proto": "tcp"}, wider) == [
        "+ alice@example.com -> 10.0.0.0/24: ssh as root on request through mgmt",
        "+ alice@example.com -> 10.0.0.0/24 via tag:router: tcp:22 on request through mgmt",
        "+ alice@example.com -> tag:server: ssh as root on request through mgmt, "
        "tcp:80-90 on request through mgmt",
        "+ carol@example.org -> 10.0.0.0/24: ssh as root on request through mgmt by break-glass",
        "+ carol@example.org -> 10.0.0.0/24 via tag:router: tcp:22 on request through mgmt by break-glass",
        "+ carol@example.org -> tag:server: ssh as root on request through mgmt by break-glass, "
        "tcp:22,80-90 on request through mgmt by break-glass",
    ]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ({"maxDuration": "8h"}, "+ profile mgmt -> terms: maxDuration 8:00:00 (was 4:00:00)"),
        ({"maxDuration": "2h"}, "- profile mgmt -> terms: maxDuration 2:00:00 (was 4:00:00)"),
        ({"approvals": 2}, "- profile mgmt -> terms: approvals 2 (was 1)"),
        ({"approvers": []}, "+ profile mgmt -> terms: approvals 0 (was 1)"),
        ({"maxActive": 5}, "- profile mgmt -> terms: maxActive 5 (was any number)"),
        ({"reason": "required"}, "- profile mgmt -> terms: reason required (was any)"),
        ({"ticket": ""}, "+ profile mgmt -> terms: ticket any (was ^OPS-[0-9]+$)"),
        ({"hours": "07:00-19:00 UTC"}, "- profile mgmt -> terms: hours 07:00-19:00 UTC (was any)"),
        ({"srcPosture": ["posture:a"]}, "- profile mgmt -> terms: srcPosture posture:a (was any)"),
    ],
)
def test_terms(edit: dict[str, Any], expected: str) -> None:
    assert expected in changes(MGMT, {**MGMT, **edit})


def test_another_posture_counts_as_opening() -> None:
    one, other = {**MGMT, "srcPosture": ["posture:a"]}, {**MGMT, "srcPosture": ["posture:b"]}
    assert changes(one, other) == ["+ profile mgmt -> terms: srcPosture posture:b (was posture:a)"]
