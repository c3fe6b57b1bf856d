"""Tags an administrator may use."""

from __future__ import annotations

import pytest

from acl import parse_policy
from coordinator.services.tags import validated_tags
from coordinator.tailnet.errors import InvalidError
from coordinator.tailnet.state import TailnetState
from tests.support.tailnets import make_world

POLICY = parse_policy('{"tagOwners": {"tag:b": [], "tag:a": []}}')


def test_tags_are_sorted_and_unique() -> None:
    index = make_world(TailnetState(), POLICY).policy
    assert validated_tags(index, ["tag:b", "tag:a", "tag:b"]) == ("tag:a", "tag:b")


@pytest.mark.parametrize(
    ("tag", "words"),
    [("a", "form"), ("tag:", "form"), ("tag:A", "lower"), ("tag:a b", "blanks"), ("tag:z", "tagOwners")],
)
def test_each_mistake_has_its_sentence(tag: str, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        validated_tags(make_world(TailnetState(), POLICY).policy, [tag])
