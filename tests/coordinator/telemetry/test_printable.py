"""Texts of strangers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.telemetry.printable import printable


def test_what_commands_a_terminal_is_spelled_out() -> None:
    assert printable("web\x1b[31m\r\n") == "web\\x1b[31m\\r\\n"
    assert printable("gnp.exe\u202egpj") == "gnp.exe\\u202egpj"
    assert printable("Büro 7 – 日本") == "Büro 7 – 日本"
    assert printable("a\nb\t", keep="\n") == "a\nb\\t"


@given(st.text(max_size=40))
def test_any_text_becomes_printable(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(text, keep="\n").replace("\n", "").isprintable()
