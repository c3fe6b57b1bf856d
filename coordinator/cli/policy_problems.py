"""Reading a policy file, and showing what is wrong with it: for people, for programs, for a pull request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from coordinator.cli import output

if TYPE_CHECKING:
    from acl import AccessProfile, Policy, Problem, Span


def read(path: Path | None) -> str:
    """The text of a policy file; ends the command when there is none."""
    from acl import PolicyError, decode_policy

    if path is None:
        output.fail("say which file: -f FILE")
    try:
        return decode_policy(path.read_bytes())
    except PolicyError as error:
        report(path, "", error.problems)
    except OSError as error:
        output.fail(f"cannot read {path}: {error.strerror}")


def parse(path: Path | None, text: str, declared: Sequence[AccessProfile] = ()) -> Policy:
    """A valid policy, with access profiles from elsewhere; ends the command with all problems otherwise."""
    from acl import PolicyError, parse_policy

    try:
        return parse_policy(text, declared)
    except PolicyError as error:
        report(path or Path("policy"), text, error.problems)


def report(path: Path, text: str, problems: Iterable[Problem]) -> NoReturn:
    """Print problems in the chosen form and leave with exit code 1."""
    found = list(problems)
    if output.CONTEXT.output == "github":
        for problem in found:
            print(_annotation(path, problem))
        raise typer.Exit(1)
    if output.machine():
        values = [_value(problem) for problem in found]
        print(json.dumps({"valid": False, "file": str(path), "problems": values}, ensure_ascii=False))
        raise typer.Exit(1)
    lines = text.splitlines()
    output.fail("\n".join(_show(str(path), lines, problem) for problem in found))


def _own_span(problem: Problem) -> Span | None:
    """The place in the policy's text; None in a profile that is declared elsewhere."""
    return None if problem.span is None or problem.span.document else problem.span


def _message(problem: Problem) -> str:
    if problem.span is not None and problem.span.document:
        return f"{problem.span}: {problem.message}"
    return problem.message


def _value(problem: Problem) -> dict[str, object]:
    span = _own_span(problem)
    return {
        "line": span.line if span else None,
        "column": span.column if span else None,
        "endLine": span.end_line if span else None,
        "endColumn": span.end_column if span else None,
        "code": problem.code,
        "message": _message(problem),
        "help": problem.help,
    }


def _annotation(path: Path, problem: Problem) -> str:
    """A workflow command of GitHub Actions; properties and data escape differently there."""
    data = f"{_message(problem)}{f' ({problem.help})' if problem.help else ''}"
    for plain, escaped in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        data = data.replace(plain, escaped)
    place = f"file={path}"
    span = _own_span(problem)
    if span is not None:
        place += f",line={span.line},col={span.column},endLine={span.end_line},endColumn={span.end_column}"
    return f"::error {place},title={problem.code}::{data}"


def _show(path: str, lines: list[str], problem: Problem) -> str:
    """A problem with its place and the offending text underlined."""
    span = _own_span(problem)
    if span is None:
        shown = f"{path}: {_message(problem)}"
    else:
        line = lines[span.line - 1] if span.line <= len(lines) else ""
        same_line = span.end_line == span.line
        width = span.end_column - span.column if same_line else len(line) - span.column + 1
        marker = " " * (span.column - 1) + "^" * max(1, width)
        shown = f"{path}:{span.line}:{span.column}: {problem.message}\n  {line}\n  {marker}"
    return f"{shown}\n  help: {problem.help}" if problem.help else shown
