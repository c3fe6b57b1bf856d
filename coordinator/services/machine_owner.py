"""The person behind a machine: who acts when a machine is the proof of identity."""

from __future__ import annotations

from coordinator.tailnet.errors import ForbiddenError
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.snapshot import NodeRecord, Snapshot
from coordinator.tailnet.users import User, require_active


def require_in_order(snapshot: Snapshot, node: Node) -> None:
    """The device is approved, and its user is not shut out.

    Raises:
        ForbiddenError: says which of the two it is.
    """
    if not node.approved:
        raise ForbiddenError(f"the device `{node.given_name}` is not approved")
    user = None if node.tags or node.user_id is None else snapshot.users.get(node.user_id)
    if user is not None:
        require_active(user)


def person_behind(snapshot: Snapshot, record: NodeRecord) -> User:
    """Whose machine it is.

    Raises:
        ForbiddenError: nobody's, or it is not in order.
    """
    node = record.node
    require_in_order(snapshot, node)
    if record.expired:
        raise ForbiddenError(f"the key of `{node.given_name}` has expired: log in anew (`tailscale up`)")
    if node.tags or node.user_id is None:
        raise ForbiddenError(
            f"`{node.given_name}` belongs to {', '.join(node.tags)}, not to a person who could ask: "
            "ask from a machine of your own"
        )
    return snapshot.users[node.user_id]
