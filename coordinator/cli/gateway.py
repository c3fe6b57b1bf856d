"""`gateway`: the program on a WireGuard gateway. Not a client of the administration interface."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli import output


def gateway(
    server: Annotated[str, typer.Option("--server", metavar="URL", help="The coordinator's address.")],
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="What `wireguard gateways create` printed."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TOKEN",
            help="The same in the command line, where others on this machine see it.",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="DIR",
            help="Keys and the last wish; $STATE_DIRECTORY or /var/lib/coordinator-gateway otherwise.",
        ),
    ] = None,
    interface_prefix: Annotated[
        str, typer.Option("--interface-prefix", metavar="TEXT", help="Put before the names of interfaces.")
    ] = "",
    authority: Annotated[
        Path | None,
        typer.Option("--ca", metavar="FILE", help="Certificates to trust instead of the system's (PEM)."),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Ask, apply and report one time; exit 1 when any of it failed.")
    ] = False,
    log_format: Annotated[str, typer.Option("--log-format", help="text or json.")] = "text",
) -> None:
    """Keep this machine's WireGuard peers and packet rules what the server wishes. Needs CAP_NET_ADMIN."""
    from coordinator.gateway.program import Options, OptionsError, run
    from coordinator.telemetry.logging import configure_logging

    if log_format not in {"text", "json"}:
        output.fail(f"--log-format is text or json, not `{log_format}`")
    configure_logging("info", log_format)
    folder = state or Path(os.environ.get("STATE_DIRECTORY") or "/var/lib/coordinator-gateway")
    options = Options(
        server=server,
        token=_token(token, token_file),
        state=folder,
        prefix=interface_prefix,
        authority=authority,
        once=once,
    )
    try:
        code = run(options)
    except OptionsError as error:
        output.fail(str(error))
    raise typer.Exit(code)


def _token(token: str | None, file: Path | None) -> str:
    if (token is None) == (file is None):
        output.fail("give --token-file FILE or --token TOKEN, one of them")
    if file is None:
        return (token or "").strip()
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        output.fail(f"--token-file {file} cannot be read: {error}")
