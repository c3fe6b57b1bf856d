"""Converters: a value or a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.settings.convert import convert
from coordinator.settings.keys import KEYS

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("path", sorted({key.kind: key.path for key in KEYS.values()}.values()))
@given(value=VALUES)
def test_any_value_is_converted_or_refused(path: str, value: object) -> None:
    try:
        convert(KEYS[path], value, Path("/base"))
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    "key", [key for key in KEYS.values() if key.default is not None], ids=lambda key: key.path
)
def test_every_default_is_of_its_kind(key) -> None:  # type: ignore[no-untyped-def]
    convert(key, None, Path("/base"))
