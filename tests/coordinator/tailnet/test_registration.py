"""The registration table, row by row."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.tailnet.nodes import REJECTED, Rotation
from coordinator.tailnet.registration import (
    REJECTED_DEVICE,
    TABLE,
    UNUSABLE_NODE_KEY,
    WIREGUARD_KEY,
    Attempt,
    Confirm,
    Join,
    Login,
    Logout,
    Refuse,
    RenewKey,
    Shorten,
    decide,
)
from coordinator.tailnet.users import UserID
from tests.support.builders import NOW, machine_key, make_key, make_node, node_key

NODE = make_node(1)
BASE = Attempt(now=NOW, machine_key=machine_key(1), node_key=node_key(1))
LOGOUT = NOW - timedelta(days=20_000)


def test_a_node_key_of_another_machine_is_refused_whatever_else_is_presented() -> None:
    """Pitfall: a NodeKey must never be usable from another machine key."""
    key, _ = make_key(reusable=True)
    attempt = replace(BASE, machine_key=machine_key(2), node=NODE, key=key)
    assert decide(attempt) == Refuse(UNUSABLE_NODE_KEY)
    assert decide(replace(attempt, wish=LOGOUT)) == Logout(None)


def test_a_key_of_plain_wireguard_is_refused_to_those_who_would_be_let_in() -> None:
    key, _ = make_key(reusable=True)
    rotating = replace(NODE, rotation=Rotation(asked_at=NOW))
    taken = replace(BASE, node_key=node_key(7), plain_wireguard=True)
    assert decide(replace(taken, key=key)) == Refuse(WIREGUARD_KEY)
    renewal = replace(taken, old_node_key=NODE.node_key, siblings=(rotating,))
    assert decide(renewal) == Refuse(WIREGUARD_KEY)
    assert isinstance(decide(replace(renewal, plain_wireguard=False)), Join)
    # Whoever has nothing to show learns nothing; and who is in already stays in.
    assert decide(taken) == Login()
    assert decide(replace(BASE, node=NODE, plain_wireguard=True)) == Confirm(NODE)


def test_a_node_key_of_another_machine_is_as_unknown_to_those_without_an_auth_key() -> None:
    stranger = replace(BASE, machine_key=machine_key(2), node=NODE)
    unknown = replace(stranger, node=None)
    for changes in ({}, {"wish": LOGOUT}, {"key_problem": "unknown"}):
        assert decide(replace(stranger, **changes)) == decide(replace(unknown, **changes))  # type: ignore[arg-type]


def test_a_rejected_device_is_told_so_and_cannot_log_its_rejection_away() -> None:
    rejected = replace(NODE, approval=REJECTED, expiry=NOW)
    assert decide(replace(BASE, node=rejected)) == Refuse(REJECTED_DEVICE)
    key, _ = make_key(reusable=True)
    assert decide(replace(BASE, node=rejected, key=key)) == Refuse(REJECTED_DEVICE)
    assert decide(replace(BASE, node=rejected, wish=LOGOUT)) == Logout(None)


def test_max_uses_bounds_a_key() -> None:
    key, _ = make_key(reusable=True, max_uses=3, uses=2, used=True)
    assert isinstance(decide(replace(BASE, key=key)), Join)
    assert isinstance(decide(replace(BASE, key=replace(key, uses=3))), Refuse)


def test_a_past_expiry_is_a_logout_even_with_an_auth_key() -> None:
    """Pitfall: a logout that carries the auth key must not register the node again."""
    key, _ = make_key(reusable=True)
    assert decide(replace(BASE, wish=LOGOUT, node=NODE, key=key)) == Logout(NODE)
    assert decide(replace(BASE, wish=LOGOUT, key=key)) == Logout(None)


def test_a_restart_is_confirmed() -> None:
    assert decide(replace(BASE, node=NODE)) == Confirm(NODE)


@pytest.mark.parametrize(
    "changes", [{"used": True}, {"expiration": NOW - timedelta(hours=1)}, {"revoked": True}]
)
def test_a_spent_key_does_not_matter_for_a_node_that_is_in(changes: dict[str, object]) -> None:
    """Pitfall: clients resend their auth key at every start."""
    key, _ = make_key(**changes)
    assert decide(replace(BASE, node=NODE, key=key)) == Confirm(NODE)
    assert decide(replace(BASE, node=NODE, key_problem="unknown")) == Confirm(NODE)


def test_an_expired_node_needs_a_new_key_first() -> None:
    node = replace(NODE, expiry=NOW)
    key, _ = make_key()
    assert decide(replace(BASE, node=node)) == RenewKey(node)
    assert decide(replace(BASE, node=node, key=key)) == RenewKey(node)


def test_a_client_may_expire_sooner_but_not_later() -> None:
    node = replace(NODE, expiry=NOW + timedelta(days=2))
    sooner, later = NOW + timedelta(days=1), NOW + timedelta(days=3)
    assert decide(replace(BASE, node=node, wish=sooner)) == Shorten(node, sooner)
    assert decide(replace(BASE, node=node, wish=later)) == Confirm(node)


def test_a_key_makes_a_new_node() -> None:
    key, _ = make_key(ephemeral=True)
    assert decide(replace(BASE, key=key)) == Join(
        user_id=UserID(1), tags=(), ephemeral=True, key=key, former=None
    )


def test_a_new_node_key_of_the_same_machine_and_owner_continues_the_node() -> None:
    key, _ = make_key()
    outcome = decide(replace(BASE, node_key=node_key(2), previous=NODE, siblings=[NODE], key=key))
    assert isinstance(outcome, Join)
    assert outcome.former == NODE


def test_after_a_logout_the_same_owner_gets_the_node_back() -> None:
    node = replace(NODE, expiry=NOW)
    key, _ = make_key()
    outcome = decide(replace(BASE, node_key=node_key(2), siblings=[node], key=key))
    assert isinstance(outcome, Join)
    assert outcome.former == node


def test_another_user_on_the_same_machine_gets_a_node_of_their_own() -> None:
    """Pitfall: same machine key, other user: a new node, not a takeover."""
    key, _ = make_key(user_id=UserID(2))
    outcome = decide(replace(BASE, node_key=node_key(2), previous=NODE, siblings=[NODE], key=key))
    assert isinstance(outcome, Join)
    assert outcome.former is None


def test_an_old_node_key_of_another_machine_is_ignored() -> None:
    key, _ = make_key()
    stranger = make_node(3)
    outcome = decide(replace(BASE, node_key=node_key(2), previous=stranger, key=key))
    assert isinstance(outcome, Join)
    assert outcome.former is None


def test_a_tagged_key_makes_a_tagged_node_without_a_user() -> None:
    key, _ = make_key(tags=("tag:ci",))
    outcome = decide(replace(BASE, key=key))
    assert isinstance(outcome, Join)
    assert (outcome.user_id, outcome.tags) == (None, ("tag:ci",))


def test_permitted_requested_tags_are_granted() -> None:
    key, _ = make_key()
    outcome = decide(replace(BASE, key=key, request_tags=("tag:b", "tag:a")))
    assert isinstance(outcome, Join)
    assert outcome.tags == ("tag:a", "tag:b")


def test_refused_tags_are_named() -> None:
    key, _ = make_key()
    outcome = decide(replace(BASE, key=key, request_tags=("tag:x",), tags_refused=("tag:x",)))
    assert outcome == Refuse("requested tags [tag:x] are invalid or not permitted")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"used": True}, "already used"),
        ({"expiration": NOW}, "expired"),
        ({"revoked": True}, "revoked"),
        ({"user_id": None}, "neither user nor tags"),
    ],
)
def test_a_key_that_does_not_admit_says_why(changes: dict[str, object], word: str) -> None:
    key, _ = make_key(**changes)
    outcome = decide(replace(BASE, key=key))
    assert isinstance(outcome, Refuse)
    assert word in outcome.message


def test_a_reusable_key_admits_again() -> None:
    key, _ = make_key(used=True, reusable=True)
    assert isinstance(decide(replace(BASE, key=key)), Join)


def test_a_key_without_an_end_admits() -> None:
    key, _ = make_key(expiration=None)
    assert isinstance(decide(replace(BASE, key=key)), Join)


def test_an_unknown_key_is_refused() -> None:
    assert decide(replace(BASE, key_problem="no such key")) == Refuse("no such key")


def test_without_a_key_a_person_decides() -> None:
    assert decide(BASE) == Login()


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)


def test_a_key_of_a_suspended_user_admits_nobody_and_disturbs_nobody() -> None:
    key, _ = make_key(reusable=True)
    attempt = replace(BASE, key=key, suspension="user `user1` is suspended")
    assert decide(attempt) == Refuse("user `user1` is suspended")
    assert decide(replace(attempt, node=NODE)) == Confirm(NODE)
