"""The version."""

from __future__ import annotations

from importlib.metadata import version

from coordinator.version import NUMBER, version_document


def test_the_fields_tools_read() -> None:
    assert {"version", "commit", "buildTime", "dirty"} <= set(version_document())


def test_the_installed_package_says_the_same() -> None:
    assert version("coordinator") == NUMBER == version_document()["version"]
