"""`apikeys`: keys for the API from elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from coordinator.cli import output
from coordinator.cli.client import call, find_user, segment
from coordinator.cli.preauthkeys import ends_after

app = typer.Typer(no_args_is_help=True, help="Keys for the API from elsewhere.")

Prefix = Annotated[str | None, typer.Option("-p", "--prefix", help="Prefix of the key, masked or not.")]
Identifier = Annotated[int | None, typer.Option("-i", "--id", help="Id of the key.")]


@app.command("create")
def create(
    expiration: Annotated[str, typer.Option("-e", "--expiration", help="Such as 90d.")] = "90d",
    user: Annotated[str | None, typer.Option("-u", "--user", help="Only what this user's role may.")] = None,
) -> None:
    """Create a key; it is shown once."""
    body = {"expiration": ends_after(expiration)}
    if user is not None:
        body["user"] = find_user(user)["id"]
    text = call("POST", "/api/v1/apikey", body)["apiKey"]
    output.emit(text, text)


@app.command("list")
def list_keys() -> None:
    """List keys."""
    keys = call("GET", "/api/v1/apikey")["apiKeys"]
    rows = [
        [
            key["id"],
            key["prefix"],
            key["user"] or "all rights",
            output.deadline(key["expiration"]),
            output.moment(key["createdAt"]),
            output.moment(key["lastSeen"]),
        ]
        for key in keys
    ]
    headers = ["ID", "Prefix", "User", "Expiration", "Created", "Last seen"]
    output.emit(keys, output.table(headers, rows))


@app.command("expire")
def expire(prefix: Prefix = None, identifier: Identifier = None) -> None:
    """End a key now."""
    _require_one(prefix, identifier)
    call("POST", "/api/v1/apikey/expire", {"prefix": prefix or "", "id": identifier})
    output.emit({"Result": "Key expired"}, "Key expired")


@app.command("delete")
def delete(prefix: Prefix = None, identifier: Identifier = None) -> None:
    """Remove a key."""
    _require_one(prefix, identifier)
    query = {"id": str(identifier)} if identifier is not None else None
    call("DELETE", f"/api/v1/apikey/{segment(prefix or 'by-id')}", query=query)
    output.emit({"Result": "Key deleted"}, "Key deleted")


def _require_one(prefix: str | None, identifier: int | None) -> None:
    if (prefix is None) == (identifier is None):
        output.fail("say which key: --prefix or --id, not both")
