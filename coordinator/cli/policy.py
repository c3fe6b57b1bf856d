"""`policy`: who may reach whom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli import output
from coordinator.cli.client import call

app = typer.Typer(no_args_is_help=True, help="Who may reach whom.")

File = Annotated[Path | None, typer.Option("-f", "--file", help="The HuJSON file.")]


@app.command("get")
def get() -> None:
    """Print the policy in force."""
    print(call("GET", "/api/v1/policy")["policy"], end="")


@app.command("set")
def set_policy(
    file: File = None, note: Annotated[str, typer.Option("--note", help="Why; kept in the history.")] = ""
) -> None:
    """Store a policy and put it in force (database mode)."""
    text = _read(file)
    _require_valid(file, text)
    result = call("PUT", "/api/v1/policy", {"policy": text, "note": note})
    output.emit(result, "Policy updated.")


@app.command("check")
def check(
    positional: Annotated[Path | None, typer.Argument(metavar="FILE")] = None, file: File = None
) -> None:
    """Check a policy without a server; all problems, with their places."""
    path = file or positional
    _require_valid(path, _read(path))
    output.emit({"valid": True}, "Policy is valid")


def _read(path: Path | None) -> str:
    if path is None:
        output.fail("say which file: -f FILE")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        output.fail(f"cannot read {path}: {error}")


def _require_valid(path: Path | None, text: str) -> None:
    from acl import PolicyError, parse_policy

    try:
        parse_policy(text)
    except PolicyError as error:
        lines = text.splitlines()
        output.fail("\n".join(_show(str(path), lines, problem) for problem in error.problems))


def _show(path: str, lines: list[str], problem: object) -> str:
    """A problem with its place and the offending text underlined."""
    span = getattr(problem, "span", None)
    message, hint = getattr(problem, "message", ""), getattr(problem, "help", None)
    if span is None:
        shown = f"{path}: {message}"
    else:
        line = lines[span.line - 1] if span.line <= len(lines) else ""
        width = span.end_column - span.column if span.end_line == span.line else len(line) - span.column + 1
        marker = " " * (span.column - 1) + "^" * max(1, width)
        shown = f"{path}:{span.line}:{span.column}: {message}\n  {line}\n  {marker}"
    return f"{shown}\n  help: {hint}" if hint else shown
