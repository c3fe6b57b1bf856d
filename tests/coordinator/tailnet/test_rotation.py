"""Which new key is the awaited one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from coordinator.tailnet.errors import ConflictError, InvalidError
from coordinator.tailnet.rotation import ANSWER_LOST, ask, awaited, renewed
from tests.support.builders import NOW, make_node, node_key

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("expiry", "within", "shown"),
    [
        (None, None, None),
        (NOW + 9 * DAY, None, NOW + 9 * DAY),
        (None, 14 * DAY, NOW + 14 * DAY),
        (NOW + 90 * DAY, 14 * DAY, NOW + 14 * DAY),
        (NOW + 9 * DAY, 14 * DAY, NOW + 9 * DAY),
    ],
)
def test_a_key_ends_within_the_time_given_and_the_new_one_when_the_old_would_have(
    expiry: Any, within: Any, shown: Any
) -> None:
    asked = ask(make_node(1, expiry=expiry), NOW, within)
    assert (asked.expiry, asked.rotation_asked) == (shown, NOW)
    fresh = renewed(asked, node_key(9), NOW + DAY)
    assert (fresh.node_key, fresh.key_since, fresh.expiry) == (node_key(9), NOW + DAY, expiry)
    assert fresh.rotation_asked is None


def test_asking_again_replaces_the_time() -> None:
    once = ask(make_node(1, expiry=NOW + 90 * DAY), NOW, 14 * DAY)
    assert ask(once, NOW, 20 * DAY).expiry == NOW + 20 * DAY
    never = ask(once, NOW, None)
    assert (never.expiry, renewed(never, node_key(9), NOW).expiry) == (NOW + 90 * DAY, NOW + 90 * DAY)


def test_an_expiry_set_meanwhile_is_kept() -> None:
    asked = replace(ask(make_node(1), NOW, 14 * DAY), expiry=NOW + 3 * DAY)
    assert renewed(asked, node_key(9), NOW).expiry == NOW + 3 * DAY


def test_only_the_present_key_is_replaced_and_only_when_asked() -> None:
    node = make_node(1)
    asked = ask(node, NOW, None)
    assert awaited(node_key(1), [node], NOW) is None
    assert awaited(node_key(1), [node, asked], NOW) is asked
    for key in (None, node_key(2)):
        assert awaited(key, [asked], NOW) is None
    assert awaited(node_key(1), [replace(asked, expiry=NOW)], NOW) is None
    assert awaited(node_key(1), [replace(asked, approval="rejected")], NOW) is None


def test_a_client_that_did_not_hear_of_its_success_may_come_again_for_a_while() -> None:
    fresh = renewed(ask(make_node(1), NOW, None), node_key(9), NOW)
    assert awaited(node_key(1), [fresh], NOW) is fresh
    assert awaited(node_key(9), [fresh], NOW) is None
    assert awaited(node_key(1), [fresh], NOW + ANSWER_LOST) is None
    again = renewed(fresh, node_key(10), NOW + DAY)
    assert awaited(node_key(1), [again], NOW + DAY) is again


def test_mistakes() -> None:
    with pytest.raises(ConflictError, match="has ended"):
        ask(make_node(1, expiry=NOW), NOW, None)
    with pytest.raises(ConflictError, match="was rejected"):
        ask(make_node(1, approval="rejected"), NOW, None)
    with pytest.raises(InvalidError, match="positive"):
        ask(make_node(1), NOW, timedelta())
    with pytest.raises(InvalidError, match="calendar"):
        ask(make_node(1), NOW.replace(year=9999), timedelta(days=400))
