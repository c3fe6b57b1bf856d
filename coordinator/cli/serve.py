"""`serve` and `configtest`: the commands that load a whole configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli import output
from coordinator.settings.extra_records import with_extra_records
from coordinator.settings.load import SettingsError, find_config, load_settings
from coordinator.settings.model import Settings


def serve(
    quickstart: Annotated[
        Path | None,
        typer.Option(
            "--quickstart",
            metavar="DIR",
            help="Make a first configuration, user and key in DIR unless they are there, and serve.",
        ),
    ] = None,
) -> None:
    """Run the server in the foreground."""
    from coordinator.server import run

    path = find_config(output.CONTEXT.config, os.environ)
    if quickstart is not None and output.CONTEXT.config is not None:
        output.fail("give --config FILE or --quickstart DIR, not both")
    if quickstart is not None:
        from coordinator.settings.quickstart import write_first_configuration

        path = write_first_configuration(quickstart)
    settings, notices = _load(path)
    raise typer.Exit(run(settings, notices, quickstart=quickstart is not None, config_path=path))


def configtest() -> None:
    """Check the configuration and everything it names."""
    from coordinator.server import check_configuration

    settings, notices = _load(find_config(output.CONTEXT.config, os.environ))
    problems = check_configuration(settings)
    for line in notices:
        output.note(line)
    if problems:
        output.fail("the configuration is wrong:\n  " + "\n  ".join(problems))
    output.emit({"valid": True}, "Configuration is valid")


def _load(path: Path | None) -> tuple[Settings, list[str]]:
    try:
        settings, notices = load_settings(path, os.environ)
        return with_extra_records(settings), notices
    except SettingsError as error:
        output.fail("the configuration is wrong:\n  " + "\n  ".join(error.problems))
