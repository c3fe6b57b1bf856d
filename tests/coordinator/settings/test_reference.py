"""The reference is current."""

from __future__ import annotations

from pathlib import Path

from coordinator.settings.reference import reference

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "configuration.md"


def test_the_committed_reference_is_what_the_table_says() -> None:
    assert DOCUMENT.read_text() == reference(), (
        "run `python -m coordinator.settings.reference > docs/configuration.md`"
    )
