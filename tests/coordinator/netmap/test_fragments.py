"""Shared pieces."""

from __future__ import annotations

from coordinator.netmap.fragments import BoundedCache
from coordinator.netmap.peers import PRESENCE
from tests.coordinator.netmap.test_builder import world_of
from tests.support.builders import make_node


def test_a_cache_forgets_its_oldest_entry() -> None:
    cache: BoundedCache[int, int] = BoundedCache(2)
    for number in (1, 2, 3):
        cache.get(number, lambda number=number: number)
    assert len(cache) == 2
    assert cache.get(1, lambda: 7) == 7
    assert cache.get(3, lambda: 0) == 3
    assert (cache.hits, cache.misses) == (1, 4)


def test_a_piece_is_made_anew_when_its_record_changed() -> None:
    world = world_of(make_node(1))
    record = world.snapshot.records[0]
    view = world.default_view(record)
    first = world.fragments.peer(record, view)
    assert world.fragments.peer(record, view) is first
    assert world.fragments.patch(record, PRESENCE) is world.fragments.patch(record, PRESENCE)
    from dataclasses import replace

    changed = replace(record, node=make_node(1, given_name="x"))
    assert b'"x.tail.lab."' in world.fragments.peer(changed, view)
