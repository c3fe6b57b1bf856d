"""Profiles from beside the policy: part of it, and named in whatever is wrong with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acl import AccessProfile, PolicyError, parse_policy
from acl.declared import profile_from_text, read_declared, unfit, with_declared
from acl.hujson import parse_hujson

DB: dict[str, Any] = {"src": ["group:ops"], "dst": ["10.20.0.5:5432"], "maxDuration": "8h"}
POLICY = (
    '{"groups": {"group:ops": ["ada@"]}, "acls": [],\n "access": {"profiles": {"own": '
    + json.dumps(DB)
    + "}}}"
)


def declared(name: str = "db", **changes: Any) -> AccessProfile:
    return profile_from_text(name, json.dumps({**DB, **changes}))


def test_they_join_behind_the_policys_own() -> None:
    policy = parse_policy(POLICY, [declared()])
    assert [(each.name.text, each.declared) for each in policy.access_profiles] == [
        ("own", False),
        ("db", True),
    ]
    assert policy.text == POLICY
    assert parse_policy(POLICY, []) == parse_policy(POLICY)


def test_a_name_stands_in_one_place() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(POLICY, [declared("own")])
    assert str(caught.value) == (
        "access profile `own` (declared with `wireguard apply`): the policy has an access profile `own` of "
        "its own, in line 2, column 26 (a profile stands in one place: remove or rename one of the two)"
    )
    assert unfit(caught.value.problems) == {"own"}
    policy, _ = with_declared(parse_policy(POLICY), [declared("own")])
    assert not policy.access_profiles[0].declared


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"src": ["tag:none"]}, 'tag not found: "tag:none"'),
        ({"dst": []}, "dst is empty"),
        ({"approvals": 0}, "must be 1 or more"),
        ({"hours": "always"}, "hours"),
        ({"srcPosture": ["posture:none"]}, "posture:none"),
    ],
)
def test_what_is_wrong_names_the_profile(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(POLICY, [declared(**changes)])
    assert unfit(caught.value.problems) == {"db"}
    assert all(str(each).startswith("access profile `db` (declared") for each in caught.value.problems)
    assert message in str(caught.value)


def test_what_cannot_be_read() -> None:
    for text in ("", "7", '{"srcs": []}', '{"dst": 7}'):
        with pytest.raises(PolicyError) as caught:
            profile_from_text("db", text)
        assert unfit(caught.value.problems) == {"db"}


def test_places_are_those_of_the_declaration() -> None:
    (member,) = parse_hujson('{"db":\n {"src": ["group:ops"], "dst": "x"}}').members()
    profile, problems = read_declared(member)
    assert (profile.span.line, profile.span.document) == (1, "db")
    assert (profile.src[0].span.line, profile.src[0].span.document) == (2, "db")
    (problem,) = problems
    assert problem.span is not None
    assert (problem.span.line, problem.span.column, problem.span.document) == (2, 32, "db")


def test_tests_of_the_policy_know_them() -> None:
    text = POLICY.replace(
        '"access": {', '"access": {"tests": [{"profile": "db", "src": "ada@", "accept": []}], '
    )
    with pytest.raises(PolicyError, match="profile `db` not found"):
        parse_policy(text)
    assert len(parse_policy(text, [declared()]).access_tests) == 1
