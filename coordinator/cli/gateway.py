"""`gateway`: the program on a WireGuard gateway. Not a client of the administration interface.

`coordinator gateway …` does not come here (`coordinator.__main__`) unless there are global options: the
program stays for months, and what the other commands need would stay in memory with it.
"""

from __future__ import annotations

import typer

from coordinator.cli import output

PASSED_ON: dict[str, bool] = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Settings of the command: its options are the program's own business."""


def gateway(context: typer.Context) -> None:
    """Keep this machine's WireGuard peers and packet rules what the server wishes. Needs CAP_NET_ADMIN."""
    from coordinator.gateway.options import OptionsError
    from coordinator.gateway.program import start

    try:
        code = start(context.args)
    except OptionsError as error:
        output.fail(str(error))
    raise typer.Exit(code)
