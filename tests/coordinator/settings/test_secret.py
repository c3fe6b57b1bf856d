"""Texts that do not show themselves."""

from __future__ import annotations

from coordinator.settings.secret import Secret


def test_only_reveal_shows_it() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == "hunter2"
    assert not Secret("")
