"""The person behind a machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coordinator.services.machine_owner import person_behind, require_in_order
from coordinator.tailnet.errors import ForbiddenError
from coordinator.tailnet.snapshot import NodeRecord, Snapshot
from tests.support.builders import NOW, make_node, make_user

ADA, SHUT_OUT = make_user(1), replace(make_user(2), suspended_at=NOW)
SNAPSHOT = Snapshot(users={user.id: user for user in (ADA, SHUT_OUT)})


def test_an_untagged_machine_in_order_has_its_user() -> None:
    assert person_behind(SNAPSHOT, NodeRecord(node=make_node(1), index=0)) == ADA
    require_in_order(SNAPSHOT, make_node(1, tags=("tag:x",)))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (NodeRecord(node=make_node(1), index=0, expired=True), "has expired"),
        (NodeRecord(node=make_node(1, tags=("tag:x",)), index=0), "tag:x, not to a person"),
        (NodeRecord(node=make_node(1, approval="pending"), index=0), "not approved"),
        (NodeRecord(node=make_node(1, user_id=SHUT_OUT.id), index=0), "suspended"),
    ],
)
def test_others_are_named(record: NodeRecord, words: str) -> None:
    with pytest.raises(ForbiddenError, match=words):
        person_behind(SNAPSHOT, record)
