"""A policy text without one of its sections, everything else as it was written, comments included.

Here: cutting text at the places `hujson` reports. Not here: layout (`formatting`). Called by `policy export`.
"""

from __future__ import annotations

from acl.hujson import parse_hujson
from acl.problems import Span

__all__ = ["without_section"]


def without_section(text: str, name: str) -> str:
    """The text without the member `name` of its outermost object; unchanged when there is none.

    Raises:
        PolicyError: the text is not HuJSON.
    """
    members = parse_hujson(text).members()
    found = [number for number, member in enumerate(members) if member.key.lower() == name.lower()]
    for number in reversed(found):
        begin = _offset(text, members[number].key_span, end=False)
        end = _offset(text, members[number].value.span, end=True)
        after = _next_comma(text, end)
        if after is not None:
            end = after + 1
        # Of a last member without a comma the one before it stays: trailing commas are allowed.
        line_begin = text.rfind("\n", 0, begin) + 1
        if not text[line_begin:begin].strip() and text[end : end + 1] == "\n":
            begin, end = line_begin, end + 1
        text = text[:begin] + text[end:]
    return text


def _offset(text: str, span: Span, *, end: bool) -> int:
    line, column = (span.end_line, span.end_column) if end else (span.line, span.column)
    start = 0
    for _ in range(line - 1):
        start = text.index("\n", start) + 1
    return start + column - 1


def _next_comma(text: str, start: int) -> int | None:
    """Where the comma behind a value stands, past white space and comments."""
    at = start
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text.startswith("//", at):
            at = len(text) if (eol := text.find("\n", at)) < 0 else eol
        elif text.startswith("/*", at):
            at = text.index("*/", at) + 2
        else:
            return at if text[at] == "," else None
    return None
