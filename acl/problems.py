"""Findings about a policy text: where, what, and what to try instead.

Here: `Span`, `Problem`, `PolicyError`, near-name hints and the choice of the one message that the official
service would answer. Not here: the checks themselves (`validate`, `policy_tests`) and their wording.
Called by every module that reads a policy, and by the shells that show problems to a person.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["PolicyError", "Problem", "Span", "nearest", "service_error"]

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of the policy text, in characters; lines and columns count from 1, the end is exclusive.

    Attributes:
        document: empty for the policy itself; else the access profile, declared beside the policy, in whose
            declaration this is. Whoever reads a policy does not have that text before them.
    """

    line: int
    column: int
    end_line: int
    end_column: int
    document: str = ""

    def __str__(self) -> str:
        if self.document:
            return f"access profile `{self.document}` (declared with `wireguard apply`)"
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding.

    Attributes:
        code: stable, kebab-case; the same for every finding of a kind.
        message: for a person; where the official service has a text for this mistake, exactly that text.
        span: the offending text, or None when nothing in the file is to blame (a failing whole).
        help: what to do about it, for instance a name that looks similar.
        severity: a warning does not keep a policy from being used.
    """

    code: str
    message: str
    span: Span | None = None
    help: str | None = None
    severity: Severity = "error"

    def __str__(self) -> str:
        text = self.message if self.span is None else f"{self.span}: {self.message}"
        return text if self.help is None else f"{text} ({self.help})"


class PolicyError(Exception):
    """A policy that cannot be used; `problems` holds every finding, in the order they should be shown."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A help text naming the known name most like `name`, or None when nothing is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.66)
    return f"did you mean `{close[0]}`?" if close else None


def service_error(problems: Sequence[Problem]) -> str:
    """The one message the official service answers for these problems; "" when none is an error.

    The service stops at its first finding, so the order in which `validate` and `policy_tests` report
    is the service's order of precedence.
    """
    return next((problem.message for problem in problems if problem.severity == "error"), "")
