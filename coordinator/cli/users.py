"""`users`: people who own nodes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coordinator.cli import output
from coordinator.cli.client import call, find_user, segment

app = typer.Typer(no_args_is_help=True, help="Users who own nodes.")

Identifier = Annotated[str | None, typer.Option("-i", "--identifier", help="Id of the user.")]
Name = Annotated[str | None, typer.Option("-n", "--name", help="Name of the user.")]


@app.command("create")
def create(
    name: str,
    display_name: Annotated[str, typer.Option("-d", "--display-name")] = "",
    email: Annotated[str, typer.Option("-e", "--email")] = "",
    picture_url: Annotated[str, typer.Option("-p", "--picture-url")] = "",
) -> None:
    """Create a user."""
    body = {"name": name, "displayName": display_name, "email": email, "pictureUrl": picture_url}
    user = call("POST", "/api/v1/user", body)["user"]
    output.emit(user, f"User {user['name']} created (id {user['id']}).")


@app.command("list")
def list_users(
    identifier: Identifier = None,
    name: Name = None,
    email: Annotated[str | None, typer.Option("-e", "--email")] = None,
) -> None:
    """List users."""
    query = {
        key: value
        for key, value in (("id", identifier), ("name", name), ("email", email))
        if value is not None
    }
    users = call("GET", "/api/v1/user", query=query)["users"]
    rows = [
        [user["id"], user["displayName"], user["name"], user["email"], output.moment(user["createdAt"])]
        for user in users
    ]
    output.emit(users, output.table(["ID", "Name", "Username", "Email", "Created"], rows))


@app.command("rename")
def rename(
    old: Annotated[str | None, typer.Argument(hidden=True)] = None,
    new: Annotated[str | None, typer.Argument(hidden=True)] = None,
    identifier: Identifier = None,
    name: Name = None,
    new_name: Annotated[str | None, typer.Option("-r", "--new-name", help="The new name.")] = None,
) -> None:
    """Rename a user; nodes and keys stay theirs."""
    wanted = new_name or new
    if not wanted:
        output.fail("the new name is missing: --new-name NAME")
    user = _chosen(identifier, name if name is not None else old)
    renamed = call("POST", f"/api/v1/user/{user['id']}/rename/{segment(wanted)}")["user"]
    output.emit(renamed, f"User {user['name']} is called {renamed['name']} now.")


@app.command("destroy")
def destroy(
    positional: Annotated[str | None, typer.Argument(hidden=True)] = None,
    identifier: Identifier = None,
    name: Name = None,
) -> None:
    """Delete a user who owns no nodes."""
    user = _chosen(identifier, name if name is not None else positional)
    if not output.confirm(f"Delete user {user['name']} (id {user['id']}) and their pre-auth keys?"):
        output.emit({"Result": "User not destroyed"}, "User not destroyed")
        return
    call("DELETE", f"/api/v1/user/{user['id']}")
    output.emit({"Result": "User destroyed"}, "User destroyed")


def _chosen(identifier: str | None, name: str | None) -> dict[str, Any]:
    # Strict: a name that looks like somebody else's id must not choose that user.
    if identifier is not None:
        return find_user(identifier, by=("id",))
    if name is None:
        output.fail("say which user: --identifier ID or --name NAME")
    return find_user(name, by=("name", "email"))
