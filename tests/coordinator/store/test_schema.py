"""Column types."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from coordinator.store.schema import Moment
from tests.support.builders import NOW


def test_times_sort_as_text_and_come_back() -> None:
    kind, dialect = Moment(), sqlite.dialect()
    text = kind.process_bind_param(NOW, dialect)
    assert text == "2026-06-01T12:00:00.000000Z"
    assert kind.process_result_value(text, dialect) == NOW


def test_a_time_without_zone_is_a_bug() -> None:
    with pytest.raises(ValueError, match="zone"):
        Moment().process_bind_param(datetime(2026, 1, 1), sqlite.dialect())


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_time_can_be_read_back(moment: datetime) -> None:
    # Among them years before 1000: Go's zero time is in the year 1.
    kind, dialect = Moment(), sqlite.dialect()
    text = kind.process_bind_param(moment, dialect)
    assert text is not None
    assert len(text) == 27
    assert kind.process_result_value(text, dialect) == moment
