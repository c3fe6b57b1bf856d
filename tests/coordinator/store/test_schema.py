"""Column types."""

from __future__ import annotations

from datetime import datetime

import pytest
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
