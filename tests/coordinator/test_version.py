"""The version."""

from __future__ import annotations

from coordinator.version import version_document


def test_the_fields_tools_read() -> None:
    assert {"version", "commit", "buildTime", "dirty"} <= set(version_document())
