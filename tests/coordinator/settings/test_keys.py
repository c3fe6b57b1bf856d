"""The table of keys."""

from __future__ import annotations

from coordinator.settings.keys import FORMER, KEYS


def test_former_names_lead_to_present_ones() -> None:
    assert [former.now for former in FORMER.values() if former.now and former.now not in KEYS] == []
    assert set(FORMER) & set(KEYS) == set()


def test_every_key_says_what_it_is_about() -> None:
    assert [key.path for key in KEYS.values() if not key.about.endswith(".")] == []
