"""Rows hold no secrets and lose nothing."""

from __future__ import annotations

from coordinator.store.rows import node_row, preauth_key_row, volatile_row
from tests.support.builders import make_key, make_node


def test_a_key_row_does_not_hold_the_secret() -> None:
    key, text = make_key()
    assert text.rpartition("-")[2] not in repr(preauth_key_row(key))


def test_volatile_columns_are_part_of_a_node_row() -> None:
    node = make_node(1, endpoints=("192.0.2.1:1",))
    assert volatile_row(node).items() <= node_row(node).items()
