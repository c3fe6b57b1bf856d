"""`wireguard tokens`: secrets that let one device each become a peer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coordinator.cli import output
from coordinator.cli.client import call
from coordinator.cli.wireguard_times import moment_after

app = typer.Typer(no_args_is_help=True, help="Secrets that let one device each become a peer.")

_BASE = "/api/v1/wireguard/tokens"


@app.command("create")
def create(
    user: Annotated[
        str | None, typer.Option("-u", "--user", help="Whose device: id, name or e-mail.")
    ] = None,
    service: Annotated[str, typer.Option("--service", help="What it is, if it is nobody's.")] = "",
    profile: Annotated[str, typer.Option("--profile", help="Access profile it is for.")] = "",
    gateway: Annotated[str, typer.Option("--gateway")] = "",
    expiration: Annotated[str, typer.Option("-e", "--expiration", help="Such as 30m, 24h, 7d.")] = "24h",
    permanent: Annotated[bool, typer.Option("--permanent", help="Its peer needs no windows.")] = False,
    until: Annotated[str, typer.Option("--until", help="The same, to a time or for 7d.")] = "",
    reason: Annotated[str, typer.Option("--reason")] = "",
) -> None:
    """Create a token and print it; it is never shown again, and works once."""
    body: dict[str, Any] = {
        "service": service,
        "profile": profile,
        "gateway": gateway,
        "permanent": permanent,
        "reason": reason,
        "expiration": moment_after("--expiration", expiration),
    }
    if user is not None:
        body["user"] = user
    if until:
        body["until"] = moment_after("--until", until)
    answer = call("POST", _BASE, body)
    output.emit(answer, answer["secret"])


@app.command("list")
def list_tokens() -> None:
    """List tokens, newest first."""
    found = call("GET", _BASE)["tokens"]
    rows = [
        [
            each["id"],
            each["token"],
            each["state"],
            each["user"] or each["service"],
            each["profile"] or "-",
            output.moment(each["expires_at"]),
            each["peer"] or "-",
            each["reason"] or "-",
        ]
        for each in found
    ]
    headers = ["ID", "Token", "State", "Whose", "Profile", "Expires", "Peer", "Reason"]
    output.emit(found, output.table(headers, rows))


@app.command("revoke")
def revoke(token_id: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """Take a token back before it is used."""
    found = call("DELETE", f"{_BASE}/{token_id}")["token"]
    output.emit(found, "Token revoked")
