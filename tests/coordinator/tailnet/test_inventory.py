"""What is said of keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from coordinator.tailnet.inventory import FINDINGS, InventoryRow, ReportRules, findings, in_order
from tests.support.builders import NOW

DAY = timedelta(days=1)
RULES = ReportRules(rotation_age=180 * DAY, unseen=30 * DAY)


def make_row(**changes: Any) -> InventoryRow:
    values: dict[str, Any] = {
        "kind": "tailnet", "id": "1", "name": "web", "key": "nodekey:00", "owner_kind": "person",
        "owner": "ada", "reason": "auth key 1", "state": "valid", "online": True, "since": NOW - 400 * DAY,
        "key_since": NOW - DAY, "until": NOW + DAY, "last_seen": NOW,
    }  # fmt: skip
    return InventoryRow(**values | changes)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, ()),
        ({"key_since": NOW - 180 * DAY}, ("rotate",)),
        ({"key_since": NOW - 180 * DAY + timedelta(seconds=1)}, ()),
        ({"until": None}, ("no-expiry",)),
        ({"online": False, "last_seen": NOW - 30 * DAY}, ("unseen",)),
        ({"online": False, "last_seen": NOW - 29 * DAY}, ()),
        ({"online": True, "last_seen": NOW - 300 * DAY}, ()),
        ({"online": False, "last_seen": None}, ("unseen",)),
        ({"online": False, "last_seen": None, "since": NOW - DAY}, ()),
        ({"state": "ended", "key_since": NOW - 300 * DAY, "until": None}, ("stale",)),
        ({"state": "rejected", "online": False, "last_seen": None}, ("stale", "unseen")),
        ({"state": "waiting"}, ()),
        ({"key_since": NOW - 300 * DAY, "until": None, "online": False, "last_seen": None},
         ("rotate", "unseen", "no-expiry")),
    ],
)  # fmt: skip
def test_findings(changes: dict[str, Any], found: tuple[str, ...]) -> None:
    assert findings(make_row(**changes), NOW, RULES) == found
    assert set(found) <= set(FINDINGS)


def test_without_a_rotation_age_no_key_is_too_old() -> None:
    rules = ReportRules(rotation_age=None, unseen=30 * DAY)
    assert findings(make_row(key_since=NOW - 5000 * DAY), NOW, rules) == ()


def test_a_key_from_the_future_has_no_age() -> None:
    assert make_row(key_since=NOW + DAY).age(NOW) == timedelta()


def test_the_order_of_ids_is_that_of_numbers() -> None:
    rows = [make_row(id=id_, kind=kind) for kind in ("wireguard", "tailnet") for id_ in ("10", "9", "b", "a")]
    assert [(row.kind, row.id) for row in in_order(rows)] == [
        (kind, id_) for kind in ("tailnet", "wireguard") for id_ in ("9", "10", "a", "b")
    ]
