"""The command line of `coordinator gateway`, read with what Python brings: a parser for all the other
commands would stay in memory for as long as the program runs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

STATE = Path("/var/lib/coordinator-gateway")
SUMMARY = "Keep this machine's WireGuard peers and packet rules what the server wishes. Needs CAP_NET_ADMIN."


class OptionsError(Exception):
    """An option cannot be used; the text says which and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    server: str
    token: str = field(repr=False)
    state: Path = STATE
    prefix: str = ""
    authority: Path | None = None
    once: bool = False
    log_format: str = "text"


def read_options(arguments: Sequence[str]) -> Options:
    """The options in what follows `coordinator gateway`.

    Raises:
        OptionsError: something is missing or wrong; the token's file cannot be read.
        SystemExit: 0 after `--help`, 2 after a wrong call; what was to be said has been printed.
    """
    given = _parser().parse_args(arguments)
    return Options(
        server=given.server,
        token=_token(given.token, given.token_file),
        state=given.state or Path(os.environ.get("STATE_DIRECTORY") or STATE),
        prefix=given.interface_prefix,
        authority=given.ca,
        once=given.once,
        log_format=given.log_format,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="coordinator gateway", description=SUMMARY, allow_abbrev=False)
    add = parser.add_argument
    add("--server", metavar="URL", required=True, help="The coordinator's address.")
    add("--token-file", metavar="FILE", type=Path, help="What `wireguard gateways create` printed.")
    add(
        "--token",
        metavar="TOKEN",
        help="The same in the command line, where others on this machine see it.",
    )
    add(
        "--state",
        metavar="DIR",
        type=Path,
        help=f"Keys and the last wish; $STATE_DIRECTORY or {STATE} otherwise.",
    )
    add("--interface-prefix", metavar="TEXT", default="", help="Put before the names of interfaces.")
    add("--ca", metavar="FILE", type=Path, help="Certificates to trust instead of the system's (PEM).")
    add("--once", action="store_true", help="Ask, apply and report one time; exit 1 when any of it failed.")
    add("--log-format", choices=("text", "json"), default="text", help="Text or JSON lines.")
    return parser


def _token(token: str | None, file: Path | None) -> str:
    if (token is None) == (file is None):
        raise OptionsError("give --token-file FILE or --token TOKEN, one of them")
    if file is None:
        return (token or "").strip()
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionsError(f"--token-file {file} cannot be read: {error}") from error
