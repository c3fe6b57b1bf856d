"""`nodes`: machines of the tailnet."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from coordinator.cli import node_keys, node_owners, output
from coordinator.cli.client import call, find_user, segment
from coordinator.cli.node_owners import NodeID
from coordinator.cli.preauthkeys import split

app = typer.Typer(no_args_is_help=True, help="Machines of the tailnet.")

app.command("move")(node_owners.move)
app.command("untag")(node_owners.untag)
app.command("set-ip")(node_owners.set_ip)
app.command("rotate")(node_keys.rotate)


@app.command("list")
def list_nodes(
    user: Annotated[str | None, typer.Option("-u", "--user", help="Only those of this user.")] = None,
    tags: Annotated[bool, typer.Option("-t", "--tags", hidden=True)] = False,
) -> None:
    """List nodes."""
    nodes = call("GET", "/api/v1/node", query={"user": user} if user else None)["nodes"]
    rows = [
        [
            node["id"],
            node["name"],
            node["givenName"],
            _short(node["machineKey"]),
            _short(node["nodeKey"]),
            _owner(node),
            ",".join(node["tags"]) or "-",
            ", ".join(node["ipAddresses"]),
            "yes" if node["ephemeral"] else "no",
            output.moment(node["lastSeen"]),
            output.deadline(node["expiry"]),
            "online" if node["online"] else "offline",
            output.Alert("yes") if node["expired"] else "no",
            node["approval"] if node["approval"] == "approved" else output.Alert(node["approval"]),
        ]
        for node in nodes
    ]
    headers = [
        "ID",
        "Hostname",
        "Name",
        "MachineKey",
        "NodeKey",
        "User",
        "Tags",
        "IP addresses",
        "Ephemeral",
        "Last seen",
        "Expiration",
        "Connected",
        "Expired",
        "Approval",
    ]
    output.emit(nodes, output.table(headers, rows))


@app.command("list-routes")
def list_routes(
    identifier: Annotated[int | None, typer.Option("-i", "--identifier", help="Only this node.")] = None,
) -> None:
    """List advertised, approved and served routes."""
    nodes = [
        node
        for node in call("GET", "/api/v1/node")["nodes"]
        if (identifier is None and node["availableRoutes"] + node["approvedRoutes"])
        or node["id"] == str(identifier)
    ]
    rows = [
        [
            node["id"],
            node["givenName"],
            ", ".join(node["approvedRoutes"]) or "-",
            ", ".join(node["availableRoutes"]) or "-",
            ", ".join(node["subnetRoutes"]) or "-",
        ]
        for node in nodes
    ]
    output.emit(nodes, output.table(["ID", "Hostname", "Approved", "Available", "Serving (Primary)"], rows))


@app.command("delete")
def delete(identifier: NodeID) -> None:
    """Delete a node; its client is told at once."""
    node = call("GET", f"/api/v1/node/{identifier}")["node"]
    if not output.confirm(f"Delete node {node['givenName']} (id {node['id']})?"):
        output.emit({"Result": "Node not deleted"}, "Node not deleted")
        return
    call("DELETE", f"/api/v1/node/{identifier}")
    output.emit({"Result": "Node deleted"}, "Node deleted")


@app.command("rename")
def rename(new_name: str, identifier: NodeID) -> None:
    """Give a node another name."""
    node = call("POST", f"/api/v1/node/{identifier}/rename/{segment(new_name)}")["node"]
    output.emit(node, f"Node {node['id']} is called {node['givenName']} now.")


@app.command("expire")
def expire(
    identifier: NodeID,
    expiry: Annotated[str | None, typer.Option("-e", "--expiry", help="RFC 3339; default now.")] = None,
    disable: Annotated[bool, typer.Option("-d", "--disable", help="The key never expires.")] = False,
) -> None:
    """Expire a node's key, now or later, or never."""
    body: dict[str, Any] = {"disableExpiry": disable}
    if expiry:
        body["expiry"] = expiry
    node = call("POST", f"/api/v1/node/{identifier}/expire", body)["node"]
    when = output.moment(node["expiry"]) if node["expiry"] else "never"
    output.emit(node, f"Key of node {node['givenName']} expires: {when}")


@app.command("disable-expiry")
def disable_expiry(identifier: NodeID) -> None:
    """Let a node's key live for ever (as `expire --disable`)."""
    expire(identifier, expiry=None, disable=True)


@app.command("extend")
def extend(
    identifier: NodeID,
    by: Annotated[str, typer.Option("--for", help="Such as 12h, 30d, 1y.")],
) -> None:
    """Let a node's key live longer; an expired node is back at once."""
    node = call("POST", f"/api/v1/node/{identifier}/extend", {"for": by})["node"]
    output.emit(node, f"Key of node {node['givenName']} expires: {output.moment(node['expiry'])}")


@app.command("tag")
def tag(identifier: NodeID, tags: Annotated[list[str], typer.Option("-t", "--tags")]) -> None:
    """Replace a node's tags."""
    node = call("POST", f"/api/v1/node/{identifier}/tags", {"tags": split(tags)})["node"]
    output.emit(node, f"Node {node['givenName']} has tags {', '.join(node['tags'])}")


@app.command("attributes")
def attributes(
    identifier: NodeID,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="custom:NAME=VALUE: text, a number, true or false.")
    ] = None,
    unset: Annotated[list[str] | None, typer.Option("--unset", help="custom:NAME.")] = None,
) -> None:
    """Show a node's posture attributes; set or remove some."""
    changes: dict[str, Any] = dict.fromkeys(unset or (), None)
    for text in set_ or ():
        name, sign, value = text.partition("=")
        if not sign:
            output.fail(f"`{text}`: write NAME=VALUE, such as custom:tier=prod")
        changes[name] = _attribute_value(value)
    path = f"/api/v1/node/{identifier}/attributes"
    found = (call("POST", path, {"attributes": changes}) if changes else call("GET", path))["attributes"]
    rows = [[name, json.dumps(value)] for name, value in sorted(found.items())]
    output.emit(found, output.table(["Attribute", "Value"], rows))


def _attribute_value(text: str) -> str | int | float | bool:
    """A number, true or false where the text is one; quotes keep it text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool) else text


@app.command("approve-routes")
def approve_routes(
    identifier: NodeID,
    routes: Annotated[list[str], typer.Option("-r", "--routes", help="Comma list; empty for none.")],
) -> None:
    """Replace a node's approved routes."""
    node = call("POST", f"/api/v1/node/{identifier}/approve_routes", {"routes": split(routes)})["node"]
    output.emit(node, f"Approved on {node['givenName']}: {', '.join(node['approvedRoutes']) or 'nothing'}")


@app.command("approve")
def approve_device(identifier: NodeID) -> None:
    """Admit a device that waits for approval."""
    node = call("POST", f"/api/v1/node/{identifier}/approve")["node"]
    output.emit(node, f"Node {node['givenName']} is approved.")


@app.command("reject")
def reject_device(identifier: NodeID) -> None:
    """Shut a device out; final for its node key."""
    node = call("POST", f"/api/v1/node/{identifier}/reject")["node"]
    output.emit(node, f"Node {node['givenName']} is rejected.")


@app.command("register", hidden=True)
def register(
    user: Annotated[str, typer.Option("-u", "--user")], key: Annotated[str, typer.Option("-k", "--key")]
) -> None:
    """Approve a pending login (older spelling of `auth register`)."""
    approve(user, key)


def approve(user: str, login_id: str) -> None:
    """Admit a machine that waits for a person."""
    if login_id.startswith(("mkey:", "nodekey:")):
        output.fail(
            "machines are not let in by their keys any more: take the id that begins with hskey-authreq- "
            f"from the URL the machine shows, and run `auth register --user {user} --auth-id ID`"
        )
    owner = find_user(user)["id"]
    node = call("POST", "/api/v1/auth/register", {"user": owner, "authId": login_id})["node"]
    output.emit(node, f"Node {node['givenName']} joined.")


def _owner(node: dict[str, Any]) -> str:
    if node["tags"]:
        return "tagged-devices"
    return str(node["user"]["name"]) if node["user"] else "-"


def _short(key: str) -> str:
    """A key as clients abbreviate it: five characters of its base64 form, in brackets."""
    from base64 import b64encode

    return f"[{b64encode(bytes.fromhex(key.partition(':')[2]))[:5].decode()}]"
