"""Texts that are good for a while."""

from __future__ import annotations

from datetime import timedelta

from coordinator.tailnet.timed_tokens import TimedTokens
from tests.support.builders import NOW


def test_good_for_a_while_and_one_purpose() -> None:
    tokens = TimedTokens(bytes(32), "session", timedelta(hours=1))
    text = tokens.make((7, 0, 12), NOW)
    assert tokens.read(text, NOW) == (7, 0, 12)
    assert tokens.read(text, NOW + timedelta(minutes=59)) == (7, 0, 12)
    assert tokens.read(text, NOW + timedelta(hours=1)) is None
    assert TimedTokens(bytes(32), "form", timedelta(hours=1)).read(text, NOW) is None
    assert TimedTokens(b"x" * 32, "session", timedelta(hours=1)).read(text, NOW) is None


def test_nothing_that_was_changed_is_read() -> None:
    tokens = TimedTokens(bytes(32), "session", timedelta(hours=1))
    numbers, expires, signature = tokens.make((7,), NOW).split(".")
    for text in (
        f"8.{expires}.{signature}",
        f"07.{expires}.{signature}",
        f"{numbers}.{int(expires) + 1}.{signature}",
        f"{numbers}.{expires}.{signature[:-1]}",
        f"{numbers}.{expires}.{signature}\n",
        f"{numbers}.{'9' * 12}.{signature}",
        "",
        "..",
    ):
        assert tokens.read(text, NOW) is None
