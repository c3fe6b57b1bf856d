"""From values to a policy: key names, old spellings, types; any JSON gives a policy or a PolicyError."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import acl
from acl.reading import ACL_KEYS, GRANT_KEYS, SECTIONS, SSH_KEYS
from tests.acl.tailnets import problems


def test_keys_match_without_regard_to_case() -> None:
    policy = acl.parse_policy(
        '{"ACLs": [{"Action": "accept", "SRC": ["*"], "dst": ["*:*"]}], "taGowners": {"tag:a": []}}'
    )
    assert policy.acls is not None
    assert policy.acls[0].src[0].text == "*"
    assert policy.tags() == {"tag:a"}


def test_unknown_keys_are_rejected_with_a_hint() -> None:
    with pytest.raises(acl.PolicyError) as caught:
        acl.parse_policy('{"group": {},\n "grants": [{"scr": ["*"], "dst": ["*"], "ip": ["*"]}]}')
    found = [(str(p.span), p.message, p.help) for p in caught.value.problems]
    assert found == [
        ("line 1, column 2", "policy: unknown key `group`", "did you mean `groups`?"),
        ("line 2, column 14", "grants[0]: unknown key `scr`", "did you mean `src`?"),
    ]


def test_old_spellings_and_hash_keys() -> None:
    policy = acl.parse_policy(
        json.dumps(
            {
                "acls": [
                    {"#note": "x", "action": "accept", "users": ["*"], "ports": ["*:22"]},
                    {"#action": "accept", "#src": ["*"]},
                ],
                "tests": [{"user": "a@b.c", "allow": ["1.2.3.4:5"]}],
            }
        )
    )
    assert policy.acls is not None
    assert len(policy.acls) == 1
    assert policy.acls[0].dst[0].text == "*:22"
    assert policy.tests[0].src is not None
    assert policy.tests[0].accept[0].text == "1.2.3.4:5"
    assert problems(acls=[{"action": "accept", "users": ["*"], "src": ["*"], "dst": ["*:1"]}]) == [
        "acls[0]: `users` is the old name of `src`, write only one of them"
    ]


def test_absent_differs_from_null_and_empty_for_rules() -> None:
    assert acl.parse_policy("{}").acls is None
    assert acl.parse_policy('{"acls": null}').acls == ()
    assert acl.parse_policy('{"grants": []}').grants == ()
    assert acl.parse_policy('{"hosts": null, "ssh": null}').ssh == ()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"groups": []}, "groups: expected an object, found a list"),
        ({"groups": {"group:a": "x"}}, 'groups["group:a"]: expected a list of strings, found a string'),
        ({"acls": {}}, "acls: expected a list, found an object"),
        ({"acls": [1]}, "acls[0]: expected an object, found a number"),
        ({"disableIPv4": "yes"}, "disableIPv4: expected true or false, found a string"),
        ({"hosts": {"a": None}}, 'hosts["a"]: expected an address or prefix, found null'),
        ({"derpMap": 1}, "derpMap: expected an object, found a number"),
        (
            {"grants": [{"src": ["*"], "dst": ["*"], "app": {"e.com/a": {}}, "ip": ["*"]}]},
            'grants[0].app["e.com/a"]: expected a list, found an object',
        ),
    ],
)
def test_wrong_types(sections: dict[str, Any], message: str) -> None:
    assert message in problems(**sections)


def test_capability_values_keep_their_json() -> None:
    policy = acl.parse_policy(
        '{"grants": [{"src": ["*"], "dst": ["*"],'
        ' "app": {"e.com/a": [{"b": [1, 2.5, "é"]}, "x"], "e.com/n": null}}]}'
    )
    assert policy.grants is not None
    app = policy.grants[0].app
    assert [(c.name.text, c.values) for c in app] == [
        ("e.com/a", ('{"b":[1,2.5,"é"]}', '"x"')),
        ("e.com/n", None),
    ]


WORDS = st.sampled_from(
    [
        "*",
        "tag:a",
        "tag:b",
        "group:g",
        "a@b.c",
        "10.0.0.0/8",
        "autogroup:self",
        "*:22",
        "tag:a:22",
        "accept",
        "x",
        "",
        "autogroup:internet:*",
        "ipset:i",
        "posture:p",
        "check",
        "tcp:80",
        "443",
        "add 10.0.0.1",
        "node:os == 'x'",
        "5m",
    ]
)
KEYS = st.sampled_from(
    [*SECTIONS, *ACL_KEYS, *GRANT_KEYS, *SSH_KEYS, "tag:a", "group:g", "ipset:i", "posture:p", "?"]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 70000) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)
RULES = st.lists(st.dictionaries(KEYS, st.lists(WORDS, max_size=2) | WORDS, max_size=5), max_size=2)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(SECTIONS), RULES | VALUES, max_size=5))
def test_any_json_is_a_policy_or_a_policy_error(value: dict[str, Any]) -> None:
    try:
        policy = acl.parse_policy(json.dumps(value))
    except acl.PolicyError as error:
        assert error.problems
        return
    acl.PolicyIndex(policy, acl.TailnetFacts())
