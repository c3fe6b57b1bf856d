"""`nodes move`, `untag`, `set-ip`: whose a node is, and which addresses it has."""

from __future__ import annotations

from typing import Annotated

import typer

from coordinator.cli import output
from coordinator.cli.client import call, find_user
from coordinator.cli.preauthkeys import split

NodeID = Annotated[int, typer.Option("-i", "--identifier", help="Id of the node.")]
Owner = Annotated[str, typer.Option("-u", "--user", help="Who gets it: id, name or e-mail.")]


def move(identifier: NodeID, user: Owner) -> None:
    """Give a node to another user; it stays connected."""
    owner = find_user(user)
    node = call("POST", f"/api/v1/node/{identifier}/user", {"user": owner["id"]})["node"]
    output.emit(node, f"Node {node['givenName']} belongs to {owner['name']} now.")


def untag(identifier: NodeID, user: Owner) -> None:
    """Take all tags from a node: it is a user's from now on."""
    owner = find_user(user)
    node = call("POST", f"/api/v1/node/{identifier}/untag", {"user": owner["id"]})["node"]
    output.emit(node, f"Node {node['givenName']} has no tags and belongs to {owner['name']} now.")


def set_ip(
    identifier: NodeID,
    ip: Annotated[list[str], typer.Option("--ip", help="IPv4 or IPv6; twice, or a comma list, for both.")],
) -> None:
    """Fix a node's address; the one of the other family stays."""
    node = call("POST", f"/api/v1/node/{identifier}/addresses", {"addresses": split(ip)})["node"]
    output.emit(node, f"Node {node['givenName']} has {', '.join(node['ipAddresses'])} now.")
