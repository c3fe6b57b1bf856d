"""Sets of node indices."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.tailnet.bits import from_indices, indices


@given(st.sets(st.integers(0, 3000)))
def test_round_trip(members: set[int]) -> None:
    assert indices(from_indices(members)) == sorted(members)
