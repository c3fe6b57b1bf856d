"""The inventory over all sources."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from coordinator.services.access import AccessService
from coordinator.services.inventory import InventoryService, NodeInventory
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.errors import InvalidError
from coordinator.tailnet.inventory import InventoryRow
from coordinator.tailnet.nodes import REGISTERED_BY_CLI, REGISTERED_BY_OIDC
from coordinator.tailnet.state import TailnetState
from coordinator.tailnet.users import UserID
from tests.coordinator.tailnet.test_inventory import make_row
from tests.support.builders import NOW, make_key, make_node, make_user
from tests.support.tailnets import make_tailnet

DAY = timedelta(days=1)


def make_request(number: int, **changes: Any) -> AccessRequest:
    values: dict[str, Any] = {
        "id": number, "profile": "mgmt", "user_id": UserID(1), "node_id": None, "duration": DAY,
        "reason": "disk full", "ticket": f"OPS-{number}", "requested_at": NOW, "answer_by": NOW + DAY,
        "opens_at": NOW, "closes_at": NOW + DAY,
    }  # fmt: skip
    return AccessRequest(**values | changes)


class Requests:
    """Requests, and whether they are open; hours are the profile's matter."""

    def __init__(self, *requests: AccessRequest) -> None:
        self.requests = {request.id: request for request in requests}

    def state(self, request: AccessRequest) -> str:
        return request.state(NOW)


class Peers:
    """A second source."""

    def inventory(self, now: datetime) -> Iterable[InventoryRow]:
        return [make_row(kind="wireguard", id="printer", owner_kind="device", owner="", since=NOW - DAY)]


def make_service(state: TailnetState, *requests: AccessRequest) -> InventoryService:
    tailnet, _, _ = make_tailnet(state)
    source = NodeInventory(tailnet, cast("AccessService", Requests(*requests)))
    return InventoryService(tailnet, [source], 180 * DAY)


def test_each_node_says_whose_it_is_and_why() -> None:
    ci, _ = make_key(4, tags=("tag:ci",), user_id=None, description="runners")
    plain, _ = make_key(5)
    nodes = [
        make_node(1, auth_key_id=4, tags=("tag:ci",)),
        make_node(2, auth_key_id=5),
        make_node(3, auth_key_id=6),
        make_node(4, register_method=REGISTERED_BY_OIDC, user_id=UserID(2)),
        make_node(5, register_method=REGISTERED_BY_CLI),
        make_node(6, user_id=UserID(9)),
    ]
    users = {user.id: user for user in (make_user(1), make_user(2, email="ada@example.com"))}
    state = TailnetState(users=users, nodes={node.id: node for node in nodes}, preauth_keys={4: ci, 5: plain})
    rows = [found.row for found in make_service(state).all_keys()]
    assert [(row.owner_kind, row.owner, row.reason) for row in rows] == [
        ("service", "tag:ci", "auth key 4 (tag:ci): runners"),
        ("person", "user1", "auth key 5"),
        ("person", "user1", "auth key 6, deleted since"),
        ("person", "ada@example.com", "the user's own login"),
        ("person", "user1", "let in by an administrator"),
        ("nobody", "", "an auth key"),
    ]
    assert rows[0].addresses == ("100.64.0.1", "fd7a:115c:a1e0::1")


def test_the_age_is_the_keys_and_not_the_nodes() -> None:
    nodes = [
        make_node(1, created_at=NOW - 400 * DAY, key_since=NOW - 2 * DAY),
        make_node(2, created_at=NOW - 400 * DAY),
    ]
    state = TailnetState(users={UserID(1): make_user(1)}, nodes={node.id: node for node in nodes})
    found = make_service(state).all_keys()
    assert [each.age for each in found] == [2 * DAY, 400 * DAY]
    assert [each.row.key_since_exact for each in found] == [True, False]
    assert ["rotate" in each.findings for each in found] == [False, True]


def test_states() -> None:
    nodes = [
        make_node(1),
        make_node(2, expiry=NOW, online=True),
        make_node(3, approval="pending"),
        make_node(4, approval="rejected", expiry=NOW),
    ]
    state = TailnetState(users={UserID(1): make_user(1)}, nodes={node.id: node for node in nodes})
    rows = [found.row for found in make_service(state).all_keys()]
    assert [row.state for row in rows] == ["valid", "ended", "waiting", "rejected"]
    assert not rows[1].online


def test_open_access_is_part_of_the_why() -> None:
    nodes = [make_node(1), make_node(2), make_node(3, tags=("tag:a",)), make_node(4, user_id=UserID(2))]
    state = TailnetState(
        users={UserID(1): make_user(1), UserID(2): make_user(2)}, nodes={node.id: node for node in nodes}
    )
    requests = [
        make_request(1),
        make_request(2, node_id=2, ticket="", reason=""),
        make_request(3, closes_at=NOW),
        make_request(4, denied_at=NOW),
    ]
    rows = [found.row for found in make_service(state, *requests).all_keys()]
    assert [row.access for row in rows] == [
        ("mgmt (request 1, OPS-1): disk full",),
        ("mgmt (request 1, OPS-1): disk full", "mgmt (request 2)"),
        (),
        (),
    ]


def test_a_report_is_over_all_sources_the_most_urgent_first() -> None:
    nodes = [
        make_node(1, online=True, expiry=NOW + DAY),
        make_node(2, online=True),
        make_node(3, created_at=NOW - 200 * DAY, online=True, expiry=NOW + DAY),
        make_node(4, expiry=NOW - DAY, last_seen=NOW - 31 * DAY),
    ]
    state = TailnetState(users={UserID(1): make_user(1)}, nodes={node.id: node for node in nodes})
    service = make_service(state)
    service.add(Peers())
    assert [(each.row.kind, each.row.id) for each in service.all_keys()][-1] == ("wireguard", "printer")
    report = service.report()
    assert (report.keys, [each.row.id for each in report.found]) == (5, ["4", "3", "2"])
    assert report.counts == {"stale": 1, "rotate": 1, "unseen": 1, "no-expiry": 1}
    assert service.report(older_than=201 * DAY).counts["rotate"] == 0
    assert service.report(unseen=32 * DAY).counts["unseen"] == 0
    for ages in ({"unseen": timedelta()}, {"older_than": -DAY}):
        with pytest.raises(InvalidError, match="positive"):
            service.report(**ages)


def test_without_keys_the_report_is_empty() -> None:
    report = make_service(TailnetState()).report()
    assert (report.keys, report.found) == (0, [])
    assert set(report.counts.values()) == {0}
