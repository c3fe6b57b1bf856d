"""What the audit log says of a node."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.nodes import Node

MAX_NAME = 255
"""Characters of a client's own name that are kept; a longer one is no name."""
AUTO_APPROVERS = Actor(kind="system", name="autoApprovers")


def moment(when: datetime | None) -> str | None:
    """A time in an entry."""
    return when.isoformat() if when else None


def node_summary(node: Node) -> dict[str, Any]:
    """A node that came or went: what tells which machine and whose it was. Keys are public."""
    return {
        "machine_key": node.machine_key,
        "node_key": node.node_key,
        "hostname": node.hostname[:MAX_NAME],
        "addresses": [str(address) for address in node.addresses],
        "user": node.user_id,
        "tags": list(node.tags),
        "ephemeral": node.ephemeral,
        "expiry": moment(node.expiry),
    }


def record_hostinfo_change(directory: Directory, now: datetime, node: Node, changed: Node) -> None:
    """What a client's new Hostinfo changed for good: its names, and the routes the policy approved."""
    target, client = f"node:{node.id}", Actor(kind="node", name=str(node.id))
    before = {"hostname": node.hostname, "given_name": node.given_name}
    after = {"hostname": changed.hostname, "given_name": changed.given_name}
    if before != after:
        name = changed.given_name
        directory.audit(now, client, "node.rename", target, after, before=before, name=name)
    if node.approved_routes != changed.approved_routes:
        directory.audit(
            now,
            AUTO_APPROVERS,
            "route.approve",
            target,
            {"routes": list(changed.approved_routes)},
            before={"routes": list(node.approved_routes)},
            name=changed.given_name,
        )
