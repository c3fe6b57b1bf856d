"""Error answers."""

from __future__ import annotations

import json

import pytest

from acl import PolicyError, parse_policy
from coordinator.tailnet import errors
from coordinator.web.errors import STATUS, from_error, problem


def test_both_families_of_fields_are_there() -> None:
    response = problem(404, "gone")
    document = json.loads(response.text or "")
    assert (document["detail"], document["message"], document["status"], document["code"]) == (
        "gone",
        "gone",
        404,
        5,
    )


def test_every_domain_error_has_a_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in kinds:
        if issubclass(kind, errors.CoordinatorError):
            assert kind.code in STATUS


def test_policy_problems_keep_their_places() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy('{\n  "acls": [{"action": "deny", "src": ["*"], "dst": ["*:*"]}]\n}')
    document = json.loads(from_error(caught.value).text or "")
    assert document["status"] == 400
    assert document["errors"][0]["line"] == 2
