"""`wireguard apply`: access profiles, gateways and peers from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli import output
from coordinator.cli.client import call
from coordinator.cli.output import CommandError

_SIGNS = {"create": "+", "change": "~", "delete": "-"}
PATIENCE = 60.0
"""Seconds: a file of thousands of peers is one step."""


def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML; see config/wireguard.yaml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
) -> None:
    """Bring access profiles, gateways and peers in line with a file, all of it or nothing."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        output.fail(f"cannot read {file}: {error}")
    body = {"document": text, "dryRun": dry_run}
    try:
        answer = call("POST", "/api/v1/wireguard/apply", body, patience=PATIENCE)
    except CommandError as error:
        message = "\n".join(f"{file}: {line}" for line in str(error).splitlines())
        raise CommandError(message) from error
    lines = [
        f"{_SIGNS[each['verb']]} {each['kind']} {each['name']}"
        + (f": {each['detail']}" if each["detail"] else "")
        for each in answer["changes"]
    ]
    lines += [f"token of gateway {name}: {token}" for name, token in answer["tokens"].items()]
    if not answer["changes"]:
        lines = ["Nothing to change."]
    elif dry_run:
        lines.append(f"{len(answer['changes'])} changes; nothing was done.")
    output.emit(answer, "\n".join(lines))
