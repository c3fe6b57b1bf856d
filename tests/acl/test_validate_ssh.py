"""Checks of SSH entries and SSH test destinations."""

from __future__ import annotations

from typing import Any

import pytest

from acl.document import Word
from acl.problems import Span
from acl.validate_ssh import period_seconds
from tests.acl.tailnets import problems


def ssh_problems(**entry: Any) -> list[str]:
    base = {"action": "accept", "src": ["autogroup:member"], "dst": ["tag:server"], "users": ["root"]}
    return problems(hosts={"srv": "100.64.0.1"}, ssh=[{**base, **entry}])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"action": None}, "action must be specified"),
        ({"action": " "}, "action must be specified"),
        ({"action": "Accept"}, '"Accept" is not a valid action'),
        ({"users": None}, "users must be specified"),
        ({"users": []}, "users must be specified"),
        ({"users": ["root", ""]}, 'user "" is not valid'),
        ({"users": ["*"]}, 'user "*" is not valid'),
        ({"acceptEnv": [""]}, "acceptEnv values cannot be empty"),
        ({"dst": ["srv"]}, 'invalid dst "srv"'),
        ({"dst": ["*"]}, 'invalid dst "*"'),
        ({"checkPeriod": "abc"}, 'time: invalid duration "abc"'),
        ({"checkPeriod": "-1m"}, "checkPeriod -1m0s must be a positive duration"),
        ({"checkPeriod": "200h"}, "checkPeriod 200h0m0s is above the max (168h)"),
        ({"src": ["*"]}, '"*" not valid in ssh src'),
        (
            {"dst": ["bob@example.com"]},
            'dst "bob@example.com": users in dst are only allowed from the same user',
        ),
        (
            {"src": ["tag:client"], "dst": ["autogroup:self"]},
            "autogroup:self can only be used with users, groups, or supported autogroups",
        ),
        ({"recorder": ["tag:nope"]}, 'recorder: tag not found: "tag:nope"'),
    ],
)
def test_messages(entry: dict[str, Any], message: str) -> None:
    assert ssh_problems(**entry) == [message]


@pytest.mark.parametrize(
    "entry",
    [
        {"action": " accept "},
        {"users": [" root", "autogroup:member", "localpart:foo", "🚀"]},
        {"acceptEnv": ["*X", "X*Y"]},
        {"acceptEnv": None, "checkPeriod": None},
        {"checkPeriod": "168h"},
        {"checkPeriod": "0s"},
        {"action": "check", "checkPeriod": "always"},
        {"src": [], "dst": []},
        {"src": ["bob@example.com"], "dst": ["bob@example.com"]},
    ],
)
def test_what_is_accepted(entry: dict[str, Any]) -> None:
    assert ssh_problems(**entry) == []


@pytest.mark.parametrize(
    ("dst", "message"),
    [
        ("autogroup:internet", 'SSH tests dst contains disallowed element "autogroup:internet"'),
        ("10.0.0.1/32", 'SSH tests dst contains disallowed element "10.0.0.1/32"'),
        ("tag:server:22", 'SSH tests dst contains unknown tag "tag:server:22"'),
    ],
)
def test_ssh_test_destinations(dst: str, message: str) -> None:
    assert problems(sshTests=[{"src": "a@b.c", "dst": [dst], "accept": ["root"]}]) == [message]


def test_periods_in_seconds() -> None:
    span = Span(line=1, column=1, end_line=1, end_column=1)
    assert period_seconds(None) == 12 * 3600
    assert period_seconds(Word("always", span)) == 0
    assert period_seconds(Word("1h30m", span)) == 5400
