"""What is visible."""

from __future__ import annotations

from dataclasses import replace

from tests.coordinator.netmap.test_builder import world_of
from tests.support.builders import make_node


def test_an_expired_node_sees_nobody() -> None:
    world = world_of(make_node(1), make_node(2))
    record = world.snapshot.records[0]
    assert world.visible(record) == 0b10
    assert world.visible(replace(record, expired=True)) == 0


def test_who_never_polled_is_visible_to_nobody() -> None:
    world = world_of(make_node(1), make_node(2, disco_key=None))
    assert world.visible(world.snapshot.records[0]) == 0
