"""How many refusals are recorded."""

from __future__ import annotations

from datetime import timedelta

from coordinator.audit.budget import RefusalBudget
from tests.support.builders import NOW


def test_beyond_the_budget_they_are_counted_and_the_count_is_told() -> None:
    budget = RefusalBudget(burst=2, per_second=1)
    assert [budget.take(NOW) for _ in range(5)] == [0, 0, None, None, None]
    assert budget.take(NOW + timedelta(seconds=1)) == 3
    assert budget.take(NOW + timedelta(seconds=1)) is None


def test_it_never_saves_up_more_than_a_burst_and_survives_a_clock_set_back() -> None:
    budget = RefusalBudget(burst=2, per_second=1)
    assert budget.take(NOW) == 0
    later = NOW + timedelta(days=1)
    assert [budget.take(later) for _ in range(3)] == [0, 0, None]
    assert budget.take(NOW) is None
