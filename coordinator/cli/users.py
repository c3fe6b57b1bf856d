"""`users`: people who own nodes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coordinator.cli import output, user_identities
from coordinator.cli.client import call, find_user, segment

app = typer.Typer(no_args_is_help=True, help="Users who own nodes.")
app.command("link")(user_identities.link)
app.command("unlink")(user_identities.unlink)
app.command("identities")(user_identities.identities)

Identifier = Annotated[str | None, typer.Option("-i", "--identifier", help="Id of the user.")]
Name = Annotated[str | None, typer.Option("-n", "--name", help="Name of the user.")]
Someone = Annotated[str | None, typer.Argument(metavar="NAME", help="Name or e-mail of the user.")]


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
        [
            user["id"],
            user["displayName"],
            user["name"],
            user["email"],
            output.moment(user["createdAt"]),
            user["role"],
            output.Alert("suspended") if user["suspended"] else "active",
        ]
        for user in users
    ]
    headers = ["ID", "Name", "Username", "Email", "Created", "Role", "State"]
    output.emit(users, output.table(headers, rows))


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


@app.command("set-role")
def set_role(
    words: Annotated[list[str], typer.Argument(metavar="[NAME] ROLE", help="`users roles` lists the roles.")],
    identifier: Identifier = None,
    name: Name = None,
) -> None:
    """Give a user another role."""
    if len(words) > 2 or (len(words) == 2 and (identifier or name)):
        output.fail("write `users set-role NAME ROLE`")
    chosen = words[0] if len(words) == 2 else name
    user = _chosen(identifier, chosen)
    changed = call("POST", f"/api/v1/user/{user['id']}/role", {"role": words[-1]})["user"]
    output.emit(changed, f"User {changed['name']} is {changed['role']} now.")


@app.command("roles")
def roles() -> None:
    """List the roles and what each may do."""
    listed = call("GET", "/api/v1/role")["roles"]
    rows = [[each["role"], ", ".join(each["rights"]) or "-"] for each in listed]
    output.emit(listed, output.table(["Role", "Rights"], rows))


@app.command("suspend")
def suspend(user: Someone = None, identifier: Identifier = None, name: Name = None) -> None:
    """Shut a user out: their nodes expire now, nothing of theirs joins until `restore`."""
    chosen = _chosen(identifier, name if name is not None else user)
    changed = call("POST", f"/api/v1/user/{chosen['id']}/suspend")["user"]
    output.emit(changed, f"User {changed['name']} is suspended; their nodes have expired.")


@app.command("restore")
def restore(user: Someone = None, identifier: Identifier = None, name: Name = None) -> None:
    """End a suspension; each node comes back by a login or a key."""
    chosen = _chosen(identifier, name if name is not None else user)
    changed = call("POST", f"/api/v1/user/{chosen['id']}/restore")["user"]
    output.emit(changed, f"User {changed['name']} is active; their nodes have to log in again.")


@app.command("destroy")
def destroy(
    positional: Annotated[str | None, typer.Argument(hidden=True)] = None,
    identifier: Identifier = None,
    name: Name = None,
    with_nodes: Annotated[bool, typer.Option("--with-nodes", help="Delete their nodes, too.")] = False,
) -> None:
    """Delete a user and their pre-auth keys; refused while they own nodes, unless --with-nodes."""
    user = _chosen(identifier, name if name is not None else positional)
    what = "their nodes and pre-auth keys" if with_nodes else "their pre-auth keys"
    if not output.confirm(f"Delete user {user['name']} (id {user['id']}) and {what}?"):
        output.emit({"Result": "User not destroyed"}, "User not destroyed")
        return
    call("DELETE", f"/api/v1/user/{user['id']}", query={"withNodes": "true"} if with_nodes else None)
    output.emit({"Result": "User destroyed"}, "User destroyed")


def _chosen(identifier: str | None, name: str | None) -> dict[str, Any]:
    # Strict: a name that looks like somebody else's id must not choose that user.
    if identifier is not None:
        return find_user(identifier, by=("id",))
    if name is None:
        output.fail("say which user: --identifier ID or --name NAME")
    return find_user(name, by=("name", "email"))
