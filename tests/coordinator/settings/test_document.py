"""Files as dotted paths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.settings.document import DocumentError, Entry, read_entries


def test_paths_and_lines() -> None:
    text = "A: 1\nb:\n  c: x\n  d: [1, 2]\n"
    assert list(read_entries(text, frozenset())) == [
        Entry("a", 1, 1),
        Entry("b.c", "x", 3),
        Entry("b.d", [1, 2], 4),
    ]


def test_some_mappings_are_values() -> None:
    assert list(read_entries("m:\n  X: 1\n", frozenset({"m"}))) == [Entry("m", {"X": 1}, 2)]


def test_plain_values_keep_their_spelling() -> None:
    texts = {entry.path: entry.text for entry in read_entries("a: 0123\nb: no\nc:\nd: [1]\n", frozenset())}
    assert texts == {"a": "0123", "b": "no", "c": None, "d": None}


def test_an_empty_mapping_is_an_entry() -> None:
    assert list(read_entries("a: {}\n", frozenset())) == [Entry("a", {}, 1)]
    assert list(read_entries("{}\n", frozenset())) == []


@given(st.text(alphabet="ab:[]{}-,?&*!|>'\"#\n\t %@", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        list(read_entries(text, frozenset()))
    except DocumentError as error:
        assert str(error)
