"""A missing prerequisite skips loudly here, and fails where everything is required."""

import os

import pytest

from tests.support import clients, prerequisites


@pytest.fixture(autouse=True)
def nothing_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a person's machine."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("COORDINATOR_REQUIRE_ALL", raising=False)


def test_nothing_missing_goes_on() -> None:
    prerequisites.require([], "tests")


def test_a_person_gets_a_skip_with_the_reasons() -> None:
    with pytest.raises(pytest.skip.Exception, match="NOT TESTED: tests cannot run here: not root; no Go"):
        prerequisites.require(["not root", "no Go"], "tests")


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("COORDINATOR_REQUIRE_ALL", "1")])
def test_ci_gets_a_failure(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(pytest.fail.Exception, match="not root"):
        prerequisites.require(["not root"], "tests")


def test_says_everything_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(prerequisites, "_ADMIN_PATH", "/nonexistent")
    monkeypatch.setattr(clients, "cached", lambda version: None)
    monkeypatch.setattr(clients, "go_program", lambda: None)
    missing = prerequisites.missing_for_interop()
    assert "not root" in missing
    assert "no `nft` command" in missing
    assert "no Go to build tailscale 1.102.3 and 1.80.3" in missing
