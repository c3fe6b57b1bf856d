"""`users link`, `unlink`, `identities`: who is whom at identity providers."""

from __future__ import annotations

from typing import Annotated

import typer

from coordinator.cli import output
from coordinator.cli.client import call, find_user

User = Annotated[str, typer.Option("-i", "--identifier", help="The user: id, name or e-mail.")]
Identity = Annotated[str, typer.Argument(metavar="ISSUER/SUBJECT", help="As the login page names it.")]


def link(identity: Identity, identifier: User) -> None:
    """Say that an identity at a provider is this user, after a change of provider for example."""
    chosen = find_user(identifier)
    user = call("POST", f"/api/v1/user/{chosen['id']}/identity", {"identity": identity})["user"]
    output.emit(user, f"{identity} logs in as user {user['name']} from now on.")


def unlink(identity: Identity, identifier: User) -> None:
    """Say that an identity is this user no more; nodes stay."""
    chosen = find_user(identifier)
    user = call("DELETE", f"/api/v1/user/{chosen['id']}/identity", query={"identity": identity})["user"]
    output.emit(user, f"{identity} does not log in as user {user['name']} any more.")


def identities(identifier: User) -> None:
    """List a user's identities."""
    chosen = find_user(identifier)
    found = call("GET", f"/api/v1/user/{chosen['id']}/identity")["identities"]
    rows = [
        [
            each["identity"],
            each["provider"],
            ", ".join(each["groups"]),
            output.moment(each["linkedAt"]),
            output.moment(each["refreshedAt"]),
        ]
        for each in found
    ]
    output.emit(found, output.table(["Identity", "Provider", "Groups", "Linked", "Confirmed"], rows))
