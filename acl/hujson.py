"""HuJSON: JSON with `//` and `/* */` comments and trailing commas, read strictly and with positions.

Here: the gate that decides whether a text is HuJSON, the tree of located values, and the limits. The gate
has the final word; the text without comments then also goes through the `hjson` library, and both readings
must agree. Not here: what the values mean (`reading`). Called by `reading` only; the one importer of
`hjson`.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import hjson

from acl.problems import PolicyError, Problem, Span

__all__ = ["MAX_DEPTH", "MAX_SIZE", "Json", "Member", "Value", "decode_policy", "parse_hujson", "standardize"]

# The largest policies in use are some hundreds of kilobytes; a few megabytes leave room and bound the work.
MAX_SIZE = 4 * 1024 * 1024
# The language itself nests seven deep (capability values may add some); deeper is an attack on the stack.
MAX_DEPTH = 64

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_WORD = re.compile(r"[A-Za-z0-9_.+-]+")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LITERALS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_HEX = re.compile(r"[0-9a-fA-F]{4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One `"key": value` of an object."""

    key: str
    key_span: Span
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value and where it stands. `data` is a scalar, a tuple of values, or a tuple of members."""

    data: bool | int | float | str | tuple[Value, ...] | tuple[Member, ...] | None
    is_object: bool
    span: Span

    @property
    def kind(self) -> str:
        """What the value is, for messages."""
        if self.is_object:
            return "an object"
        if isinstance(self.data, tuple):
            return "a list"
        if self.data is None:
            return "null"
        if isinstance(self.data, bool):
            return "a boolean"
        return "a string" if isinstance(self.data, str) else "a number"

    def members(self) -> tuple[Member, ...]:
        return tuple(m for m in self.data if isinstance(m, Member)) if isinstance(self.data, tuple) else ()

    def items(self) -> tuple[Value, ...]:
        return tuple(v for v in self.data if isinstance(v, Value)) if isinstance(self.data, tuple) else ()

    def plain(self) -> Json:
        """The value without positions."""
        if self.is_object:
            return {member.key: member.value.plain() for member in self.members()}
        if isinstance(self.data, tuple):
            return [item.plain() for item in self.items()]
        return self.data


class _SyntaxError(Exception):
    def __init__(self, offset: int, reason: str, code: str = "syntax", length: int = 1) -> None:
        super().__init__(reason)
        self.offset, self.reason, self.code, self.length = offset, reason, code, length


class _Lines:
    """Offsets to lines and columns."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def position(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        (line, column), (end_line, end_column) = self.position(start), self.position(end)
        return Span(line=line, column=column, end_line=end_line, end_column=end_column)


class _Gate:
    """A recursive-descent reader of HuJSON; depth is bounded, so recursion is."""

    def __init__(self, text: str, lines: _Lines) -> None:
        self.text, self.lines, self.at = text, lines, 0
        self.duplicates: list[Problem] = []
        # Offsets of characters that strict JSON has no use for: comments and trailing commas.
        self.blanks: list[tuple[int, int]] = []

    def document(self) -> Value:
        self._space()
        if self.at == len(self.text):
            raise _SyntaxError(self.at, "expected a value, found the end of the text")
        value = self._value(1)
        self._space()
        if self.at < len(self.text):
            raise _SyntaxError(self.at, f"expected the end of the text, found {self._seen()}")
        return value

    def _seen(self) -> str:
        if self.at >= len(self.text):
            return "the end of the text"
        return f"`{self.text[self.at]}`" if self.text[self.at].isprintable() else "a control character"

    def _space(self) -> None:
        text = self.text
        while self.at < len(text):
            char = text[self.at]
            if char in " \t\r\n":
                self.at += 1
            elif char == "/" and text.startswith("//", self.at):
                end = text.find("\n", self.at)
                end = len(text) if end < 0 else end
                self.blanks.append((self.at, end))
                self.at = end
            elif char == "/" and text.startswith("/*", self.at):
                end = text.find("*/", self.at + 2)
                if end < 0:
                    raise _SyntaxError(self.at, "comment is never closed", length=2)
                self.blanks.append((self.at, end + 2))
                self.at = end + 2
            else:
                return

    def _value(self, depth: int) -> Value:
        start = self.at
        if depth > MAX_DEPTH:
            raise _SyntaxError(start, f"values are nested more than {MAX_DEPTH} deep", "too-deep")
        char = self.text[start : start + 1]
        data: Any
        if char == "{":
            data = self._object(depth)
        elif char == "[":
            data = self._list(depth)
        elif char == '"':
            data = self._string()
        else:
            data = self._scalar()
        return Value(data=data, is_object=char == "{", span=self.lines.span(start, self.at))

    def _list(self, depth: int) -> tuple[Value, ...]:
        out: list[Value] = []
        self.at += 1
        self._space()
        while not self._closed("]"):
            out.append(self._value(depth + 1))
            self._separator("]", "list")
        return tuple(out)

    def _object(self, depth: int) -> tuple[Member, ...]:
        out: list[Member] = []
        seen: dict[str, Span] = {}
        self.at += 1
        self._space()
        while not self._closed("}"):
            start = self.at
            if self.text[start : start + 1] != '"':
                raise _SyntaxError(start, f"expected a quoted name, found {self._seen()}")
            key = self._string()
            key_span = self.lines.span(start, self.at)
            if key in seen:
                where = f"first written in line {seen[key].line}"
                message = f"`{key}` is written twice in one object"
                self.duplicates.append(
                    Problem(code="duplicate-key", message=message, span=key_span, help=where)
                )
            seen.setdefault(key, key_span)
            self._space()
            if self.text[self.at : self.at + 1] != ":":
                raise _SyntaxError(self.at, f"expected `:` after a name, found {self._seen()}")
            self.at += 1
            self._space()
            out.append(Member(key=key, key_span=key_span, value=self._value(depth + 1)))
            self._separator("}", "object")
        return tuple(out)

    def _closed(self, closer: str) -> bool:
        if self.text[self.at : self.at + 1] != closer:
            return False
        self.at += 1
        return True

    def _separator(self, closer: str, what: str) -> None:
        """After an element: a comma (perhaps a trailing one) or the closing bracket, left in place."""
        self._space()
        if self.text[self.at : self.at + 1] == ",":
            comma = self.at
            self.at += 1
            self._space()
            if self.text[self.at : self.at + 1] == closer:
                self.blanks.append((comma, comma + 1))
        elif self.text[self.at : self.at + 1] != closer:
            raise _SyntaxError(self.at, f"expected `,` or `{closer}` in this {what}, found {self._seen()}")

    def _string(self) -> str:
        text, start = self.text, self.at
        self.at += 1
        out: list[str] = []
        while True:
            match = _PLAIN.match(text, self.at)
            if match:
                out.append(match.group())
                self.at = match.end()
            char = text[self.at : self.at + 1]
            if char == '"':
                self.at += 1
                return self._joined("".join(out), start)
            if char == "\\":
                out.append(self._escape())
            elif char in ("", "\n"):
                raise _SyntaxError(start, "string is never closed", length=self.at - start)
            else:
                raise _SyntaxError(self.at, "control character in a string, write it as an escape")

    def _escape(self) -> str:
        letter = self.text[self.at + 1 : self.at + 2]
        if letter in _ESCAPES and letter:
            self.at += 2
            return _ESCAPES[letter]
        digits = _HEX.match(self.text, self.at + 2)
        if letter != "u" or digits is None:
            raise _SyntaxError(self.at, "unknown escape in a string", length=2)
        self.at += 6
        return chr(int(digits.group(), 16))

    def _joined(self, text: str, start: int) -> str:
        """Join surrogate pairs written as two escapes; half a pair is no character."""
        if not any("\ud800" <= char <= "\udfff" for char in text):
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise _SyntaxError(
                start, "half of a surrogate pair in a string", length=self.at - start
            ) from None

    def _scalar(self) -> bool | int | float | None:
        start = self.at
        word = _WORD.match(self.text, start)
        if word is None:
            raise _SyntaxError(start, f"expected a value, found {self._seen()}")
        self.at = word.end()
        text = word.group()
        if text in _LITERALS:
            return _LITERALS[text]
        number = _NUMBER.fullmatch(text)
        if number is None:
            raise _SyntaxError(start, f"`{text[:40]}` is not a JSON value", length=len(text))
        if number.group(1) is None and number.group(2) is None and len(text) <= 400:
            return int(text)
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise _SyntaxError(start, "number is too large", length=len(text))
        return value


def decode_policy(data: bytes) -> str:
    """Bytes of a policy file to text.

    Raises:
        PolicyError: not UTF-8, with the line and column of the first bad byte.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        lines = _Lines(data[: error.start].decode("utf-8-sig", "replace"))
        offset = len(data[: error.start].decode("utf-8-sig", "replace"))
        problem = Problem(code="not-utf-8", message="text is not UTF-8", span=lines.span(offset, offset + 1))
        raise PolicyError((problem,)) from None


def _blanked(text: str, blanks: list[tuple[int, int]]) -> str:
    out: list[str] = []
    at = 0
    for start, end in blanks:
        out.append(text[at:start])
        out.append(re.sub(r"[^\n]", " ", text[start:end]))
        at = end
    out.append(text[at:])
    return "".join(out)


def _same(ours: Json, theirs: object) -> bool:
    """Whether the library read what the gate read (it may return its own mapping type)."""
    if isinstance(ours, dict):
        if not isinstance(theirs, OrderedDict | dict) or len(ours) != len(theirs):
            return False
        return all(key in theirs and _same(value, theirs[key]) for key, value in ours.items())
    if isinstance(ours, list):
        if not isinstance(theirs, list) or len(ours) != len(theirs):
            return False
        return all(_same(a, b) for a, b in zip(ours, theirs, strict=True))
    return isinstance(ours, bool) == isinstance(theirs, bool) and bool(ours == theirs)


def _read(text: str) -> tuple[Value, list[tuple[int, int]]]:
    lines = _Lines(text)
    if len(text) > MAX_SIZE:
        message = f"text is longer than {MAX_SIZE} characters"
        raise PolicyError((Problem(code="too-large", message=message, span=lines.span(0, 0)),))
    bad = re.search("[\ud800-\udfff]", text)
    if bad:
        span = lines.span(bad.start(), bad.end())
        raise PolicyError((Problem(code="not-utf-8", message="text is not UTF-8", span=span),))
    gate = _Gate(text, lines)
    try:
        value = gate.document()
    except _SyntaxError as error:
        span = lines.span(error.offset, min(error.offset + error.length, len(text)))
        raise PolicyError(
            (Problem(code=error.code, message=error.reason, span=span), *gate.duplicates)
        ) from None
    if gate.duplicates:
        raise PolicyError(gate.duplicates)
    return value, gate.blanks


def parse_hujson(text: str) -> Value:
    """Read a HuJSON text.

    Raises:
        PolicyError: syntax (one problem: nothing after it can be trusted), duplicate keys (all of them),
            a text over `MAX_SIZE` characters or nested more than `MAX_DEPTH` deep. Nothing else is raised.
    """
    value, blanks = _read(text)
    try:
        second = hjson.loads(_blanked(text, blanks))
    except (hjson.HjsonDecodeError, ValueError, RecursionError):
        second = _LITERALS
    if not _same(value.plain(), second):
        message = "text is read in two ways by two parsers, write it more plainly"
        raise PolicyError((Problem(code="ambiguous", message=message, span=value.span),))
    return value


def standardize(text: str) -> str:
    """The same document as strict, compact JSON. Raises PolicyError as `parse_hujson` does."""
    return json.dumps(parse_hujson(text).plain(), ensure_ascii=False, separators=(",", ":"))
