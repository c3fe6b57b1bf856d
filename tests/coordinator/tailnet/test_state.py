"""Change sets."""

from __future__ import annotations

from coordinator.tailnet.state import ChangeSet
from tests.support.builders import make_node


def test_an_empty_change_set_is_false() -> None:
    assert not ChangeSet()
    assert ChangeSet(counters={"nodes": 1})
    assert ChangeSet(delete_nodes={make_node(1).id})
