"""Canonical HuJSON: the same values and comments, laid out in one way.

Two spaces a level, a comma after every member of a container that spans lines, containers on one line where
they fit in 100 columns and hold no comment, at most one empty line between members. Formatting twice changes
nothing. Called by `policy fmt`; the text has to be HuJSON (`hujson.parse_hujson` says where it is not).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from acl.hujson import parse_hujson

__all__ = ["format_policy"]

WIDTH = 100
INDENT = "  "

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<mark>[{}\[\],:])
      | (?P<word>[^\s{}\[\],:"/]+)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(slots=True)
class _Token:
    kind: str
    text: str
    newlines: int
    """Line breaks in the white space before it."""


@dataclass(slots=True)
class _Value:
    text: str = ""
    brackets: str = ""
    members: list[_Member] = field(default_factory=list)
    last_comments: list[str] = field(default_factory=list)
    """Comments behind the last member."""

    def commented(self) -> bool:
        return bool(self.last_comments) or any(member.commented() for member in self.members)


@dataclass(slots=True)
class _Member:
    value: _Value
    key: str = ""
    comments: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    """Comments on the same line, behind it."""
    apart: bool = False
    """An empty line stands before it."""

    def commented(self) -> bool:
        return bool(self.comments or self.behind) or self.value.commented()


def format_policy(text: str) -> str:
    """The canonical form of a policy.

    Raises:
        PolicyError: the text is not HuJSON.
    """
    parse_hujson(text)
    tokens = _Tokens(text)
    before = tokens.comments()
    value = _read_value(tokens, before)
    lines = [*before, *_lines(value, "", ""), *tokens.comments()]
    return "\n".join(lines) + "\n"


class _Tokens:
    """A look-ahead of one over the tokens of a valid text."""

    def __init__(self, text: str) -> None:
        self._stream = self._split(text.removeprefix("\ufeff"))
        self.next = next(self._stream, None)

    @staticmethod
    def _split(text: str) -> Iterator[_Token]:
        newlines = 0
        for match in _TOKEN.finditer(text):
            kind = str(match.lastgroup)
            if kind == "space":
                newlines += match[0].count("\n")
                continue
            yield _Token(kind, match[0].rstrip(), newlines)
            newlines = 0

    def take(self) -> _Token:
        token = self.next
        assert token is not None
        self.next = next(self._stream, None)
        return token

    def at(self, *texts: str) -> bool:
        return self.next is not None and self.next.kind == "mark" and self.next.text in texts

    def comments(self) -> list[str]:
        found = []
        while self.next is not None and self.next.kind == "comment":
            found.append(self.take().text)
        return found

    def comments_on_this_line(self) -> list[str]:
        found = []
        while self.next is not None and self.next.kind == "comment" and not self.next.newlines:
            found.append(self.take().text)
        return found


def _read_value(tokens: _Tokens, stray: list[str]) -> _Value:
    """A value; comments in odd places before it are put into `stray`."""
    stray += tokens.comments()
    token = tokens.take()
    if token.text not in ("{", "["):
        return _Value(text=token.text)
    value = _Value(brackets="{}" if token.text == "{" else "[]")
    closing = value.brackets[1]
    while True:
        apart = tokens.next is not None and tokens.next.newlines > 1 and bool(value.members)
        comments = tokens.comments()
        if tokens.at(closing):
            tokens.take()
            value.last_comments = comments
            return value
        value.members.append(_read_member(tokens, value.brackets == "{}", comments, apart=apart))


def _read_member(tokens: _Tokens, keyed: bool, comments: list[str], *, apart: bool) -> _Member:
    key = ""
    if keyed:
        key = tokens.take().text
        comments += tokens.comments()
        tokens.take()
    value = _read_value(tokens, comments)
    behind = tokens.comments_on_this_line()
    if not tokens.at(",", "}", "]"):
        comments += tokens.comments()
    if tokens.at(","):
        tokens.take()
        behind += tokens.comments_on_this_line()
    return _Member(value, key, comments, behind, apart)


def _lines(value: _Value, indent: str, before: str) -> list[str]:
    """Lines of a value; `before` is what stands on its first line already."""
    if not value.brackets:
        return [before + value.text]
    if not value.commented():
        one = _one_line(value)
        # The policy itself is never one line, and neither is a section with several entries.
        if len(indent) + len(before) + len(one) <= WIDTH and (indent or not value.members) and _flat(value):
            return [before + one]
    lines = [before + value.brackets[0]]
    deeper = indent + INDENT
    for member in value.members:
        if member.apart:
            lines.append("")
        lines += [deeper + comment for comment in member.comments]
        own = _lines(member.value, deeper, f"{member.key}: " if member.key else "")
        own[-1] += "," + "".join(f" {comment}" for comment in member.behind)
        lines += [deeper + own[0], *own[1:]]
    lines += [deeper + comment for comment in value.last_comments]
    lines.append(indent + value.brackets[1])
    return lines


def _flat(value: _Value) -> bool:
    """Whether one line is readable: no more than one level of containers inside."""
    return all(
        not inner.value.brackets
        or not inner.value.members
        or (value.brackets == "{}" and _scalars(inner.value))
        for inner in value.members
    )


def _scalars(value: _Value) -> bool:
    return all(not member.value.brackets for member in value.members)


def _one_line(value: _Value) -> str:
    if not value.brackets:
        return value.text
    inner = ", ".join(
        (f"{member.key}: " if member.key else "") + _one_line(member.value) for member in value.members
    )
    return f"{value.brackets[0]}{inner}{value.brackets[1]}"
