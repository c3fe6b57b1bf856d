"""`wireguard`: gateways, peers and enrolment tokens of plain WireGuard, and all of it from a file."""

from __future__ import annotations

import typer

from coordinator.cli import wireguard_apply, wireguard_gateways, wireguard_peers, wireguard_tokens

app = typer.Typer(
    no_args_is_help=True,
    help="Plain WireGuard: peers on gateways for as long as somebody approved, written by the server.",
)
app.add_typer(wireguard_gateways.app, name="gateways")
app.add_typer(wireguard_peers.app, name="peers")
app.add_typer(wireguard_tokens.app, name="tokens")
app.command("apply")(wireguard_apply.apply)
