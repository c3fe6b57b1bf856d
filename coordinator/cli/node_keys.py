"""`nodes rotate`: ask machines for new keys."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coordinator.cli import output
from coordinator.cli.client import call, find_user


def rotate(
    identifiers: Annotated[list[int] | None, typer.Argument(metavar="ID…", help="Nodes by id.")] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="All keys of this age, such as 180d.")
    ] = None,
    user: Annotated[str | None, typer.Option("-u", "--user", help="Only those of this user.")] = None,
    within: Annotated[
        str | None, typer.Option("--within", help="The present keys end after this time, such as 14d.")
    ] = None,
) -> None:
    """Ask for new node keys; a client makes its own at its next start, without a login."""
    body: dict[str, Any] = {"ids": identifiers or []}
    if older_than:
        body["olderThan"] = older_than
    if user is not None:
        body["user"] = find_user(user)["id"]
    if within:
        body["within"] = within
    nodes = call("POST", "/api/v1/node/rotate", body)["nodes"]
    rows = [
        [node["id"], node["givenName"], output.moment(node["keySince"]), output.deadline(node["expiry"])]
        for node in nodes
    ]
    shown = output.table(["ID", "Name", "Key since", "Key ends"], rows)
    output.emit(nodes, shown if nodes else "No key is that old.")
