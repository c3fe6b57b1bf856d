"""Asking for keys, and what is in the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from coordinator.services.key_rotation import KeyRotation, Wanted
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ConflictError, InvalidError, NotFoundError
from coordinator.tailnet.state import TailnetState
from coordinator.tailnet.users import UserID
from tests.support.builders import NOW, make_node, make_user
from tests.support.tailnets import MemoryStore, make_tailnet

ACTOR = Actor(kind="socket", name="test")
DAY = timedelta(days=1)


@pytest.fixture
async def bench() -> AsyncIterator[tuple[KeyRotation, Tailnet, MemoryStore]]:
    nodes = [
        make_node(1, created_at=NOW - 200 * DAY),
        make_node(2, created_at=NOW - 200 * DAY, key_since=NOW - DAY),
        make_node(3, created_at=NOW - 200 * DAY, tags=("tag:a",)),
        make_node(4, created_at=NOW - 200 * DAY, expiry=NOW - DAY),
        make_node(5, created_at=NOW - 200 * DAY, user_id=UserID(2)),
    ]
    users = {UserID(number): make_user(number) for number in (1, 2)}
    tailnet, store, _ = make_tailnet(TailnetState(users=users, nodes={node.id: node for node in nodes}))
    tailnet.start()
    yield KeyRotation(tailnet), tailnet, store
    await tailnet.close()


Bench = tuple[KeyRotation, Tailnet, MemoryStore]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(ids=[5, 1, 5]), [5, 1]),
        (Wanted(older_than=180 * DAY), [1, 3, 5]),
        (Wanted(older_than=DAY), [1, 2, 3, 5]),
        (Wanted(older_than=180 * DAY, user_id=UserID(1)), [1]),
        (Wanted(older_than=300 * DAY), []),
    ],
)
async def test_which_keys(bench: Bench, wanted: Wanted, found: list[int]) -> None:
    rotation, tailnet, store = bench
    asked = await rotation.ask(wanted, within=14 * DAY, actor=ACTOR)
    assert [node.id for node in asked] == found
    assert {node.id for node in tailnet.snapshot.nodes() if node.rotation_asked} == set(found)
    entries = [entry for commit in store.commits for entry in commit.audit]
    assert [(entry.action, entry.target) for entry in entries] == [
        ("node.rotate", f"node:{n}") for n in found
    ]


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (Wanted(), InvalidError),
        (Wanted(ids=[1], older_than=DAY), InvalidError),
        (Wanted(ids=[1], user_id=UserID(1)), InvalidError),
        (Wanted(older_than=timedelta()), InvalidError),
        (Wanted(ids=[1, 9]), NotFoundError),
        (Wanted(ids=[1, 4]), ConflictError),
    ],
)
async def test_all_or_none(bench: Bench, wanted: Wanted, error: type[Exception]) -> None:
    rotation, tailnet, _ = bench
    with pytest.raises(error):
        await rotation.ask(wanted, within=None, actor=ACTOR)
    assert not any(node.rotation_asked for node in tailnet.snapshot.nodes())


async def test_it_is_in_the_row_of_the_node(bench: Bench) -> None:
    from coordinator.store.rows import node_from, node_row

    class Row:
        def __init__(self, columns: dict[str, Any]) -> None:
            self._mapping = columns

    rotation, _, _ = bench
    for within in (None, 14 * DAY):
        (node,) = await rotation.ask(Wanted(ids=[1]), within=within, actor=ACTOR)
        assert node_from(Row(node_row(node))) == node  # type: ignore[arg-type]
