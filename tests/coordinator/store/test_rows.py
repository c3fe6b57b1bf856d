"""Rows hold no secrets and lose nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.store.rows import node_row, preauth_key_row, volatile_row
from tests.support.builders import make_key, make_node


def test_a_key_row_does_not_hold_the_secret() -> None:
    key, text = make_key()
    assert text.rpartition("-")[2] not in repr(preauth_key_row(key))


def test_volatile_columns_are_part_of_a_node_row() -> None:
    node = make_node(1, endpoints=("192.0.2.1:1",))
    assert volatile_row(node).items() <= node_row(node).items()


@pytest.mark.parametrize("field", ["home_derp", "cap_version"])
@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 1 << 200])
def test_a_number_no_column_holds_counts_as_unknown(field: str, number: int) -> None:
    assert volatile_row(make_node(1, **{field: number}))[field] == 0


def test_the_largest_numbers_are_kept() -> None:
    assert volatile_row(make_node(1, cap_version=(1 << 63) - 1))["cap_version"] == (1 << 63) - 1


@given(st.text(st.characters(exclude_categories=())))
def test_any_host_name_becomes_text_that_both_databases_take(hostname: str) -> None:
    kept = node_row(make_node(1, hostname=hostname))["hostname"]
    assert "\0" not in kept
    kept.encode()
    if "\0" not in hostname and not any("\ud800" <= character <= "\udfff" for character in hostname):
        assert kept == hostname
