"""Ticket patterns that cannot be made to run for ever.

Here: which regular expressions a policy may use for tickets, and the match. Python's matcher tries one way
after the other, so a pattern is taken only if the number of ways is small whatever the ticket says: every
quantifier and every alternative multiplies it, and nothing that has a choice inside may be repeated. Not
here: which profile asks for a ticket (`profiles`). Called by `profiles`, and by whoever takes requests.
"""

from __future__ import annotations

import re

__all__ = ["MAX_TICKET", "PatternError", "check_pattern", "matches"]

MAX_TICKET = 100
"""Characters of a ticket; also what an unbounded quantifier counts as."""
MAX_PATTERN = 200
MAX_WAYS = 200_000

_COUNT = re.compile(r"\{([0-9]*)(?:(,)([0-9]*))?\}")
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")


class PatternError(ValueError):
    """A pattern that a policy may not use."""


def matches(pattern: str, ticket: str) -> bool:
    """Whether the whole ticket matches a pattern that `check_pattern` accepts."""
    return len(ticket) <= MAX_TICKET and re.fullmatch(pattern, ticket, re.ASCII) is not None


def check_pattern(pattern: str) -> None:
    """Accept a pattern, or say what is wrong with it.

    Raises:
        PatternError: no regular expression, too long, or one whose match might take long.
    """
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"the pattern is longer than {MAX_PATTERN} characters")
    try:
        re.compile(pattern, re.ASCII)
    except re.error as error:
        raise PatternError(f"not a regular expression: {error}") from None
    ways = _Scanner(pattern).ways()
    if ways > MAX_WAYS:
        raise PatternError("the pattern could take long to match, use fewer `*`, `+`, `?` and `|`")


class _Scanner:
    """Counts the ways a pattern, known to be well-formed, may be tried."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def ways(self) -> int:
        """The ways of the alternatives up to a closing bracket or the end."""
        total, ways = 0, 1
        while self._at < len(self._pattern) and self._pattern[self._at] != ")":
            if self._pattern[self._at] == "|":
                self._at += 1
                total, ways = total + ways, 1
                continue
            inner = self._item()
            choices = self._quantifier()
            if inner > 1 and choices is not None:
                raise PatternError("a group with a choice inside (`*`, `+`, `?`, `|`) cannot be repeated")
            ways *= inner if choices is None else choices
        return total + ways

    def _item(self) -> int:
        char = self._pattern[self._at]
        if char == "\\":
            following = self._pattern[self._at + 1]
            if following.isdigit():
                raise PatternError("references to groups (`\\1`) are not supported")
            self._at += 2
            return 1
        if char == "[":
            found = _CLASS.match(self._pattern, self._at)
            if found is None:
                raise PatternError("a `[` is never closed")
            self._at = found.end()
            return 1
        if char != "(":
            self._at += 1
            return 1
        self._at += 1
        if self._pattern.startswith("?:", self._at):
            self._at += 2
        elif self._pattern.startswith("?", self._at):
            raise PatternError("`(?` is supported as `(?:` only")
        inner = self.ways()
        self._at += 1
        return inner

    def _quantifier(self) -> int | None:
        """How many counts a quantifier at this place allows; None without one."""
        char = self._pattern[self._at : self._at + 1]
        if char and char in "*+":
            choices = MAX_TICKET
            self._at += 1
        elif char == "?":
            choices = 2
            self._at += 1
        else:
            found = _COUNT.match(self._pattern, self._at) if char == "{" else None
            if found is None or not (found[1] or found[2]):
                return None
            self._at = found.end()
            least = int(found[1] or 0)
            most = least if not found[2] else int(found[3]) if found[3] else MAX_TICKET
            if max(least, most) > MAX_TICKET:
                raise PatternError(f"a count in the pattern is above {MAX_TICKET}")
            choices = max(1, most - least + 1)
        if self._pattern[self._at : self._at + 1] in ("?", "+"):
            self._at += 1  # lazy or possessive
        return choices
