"""Texts of strangers, safe to show: in a line of the log, or in a table on somebody's terminal.

Imports nothing, since the command line uses it too.
"""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """The text with every character spelled out that is neither printable nor in `keep`.

    Line ends would forge lines, escape sequences command a terminal, and marks of writing direction reorder
    what is read.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
