"""A new node key without a login: an administrator asked for it, and the machine key proves whose it is.

No message makes a stock client replace its key while it runs. At its next registration (a start, `tailscale
up`, a login) it is answered that its key has expired; it then makes a new one and comes again within
milliseconds, naming the former. Here is said which such request is the awaited one. Source: tailscale
control/controlclient/direct.go, NodeKeyExpired; observed with clients 1.80.3 and 1.102.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from coordinator.tailcfg.keys import NodeKey
from coordinator.tailnet.errors import ConflictError, InvalidError
from coordinator.tailnet.nodes import REJECTED, Node, Rotation

ANSWER_LOST = timedelta(minutes=10)
"""How long a client that did not hear of its success may come back with the key that was replaced."""


def ask(node: Node, now: datetime, within: timedelta | None) -> Node:
    """The node with the wish for a new key.

    Args:
        node: As it is.
        now: When somebody asked.
        within: The present key ends after this time; None: it lives on until the client comes.

    Raises:
        ConflictError: its key has ended or was rejected, so that a login is needed anyway.
        InvalidError: `within` is not positive, or beyond the calendar.
    """
    if node.approval == REJECTED or node.expired(now):
        what = "was rejected" if node.approval == REJECTED else "has ended"
        raise ConflictError(
            f"the key of node `{node.given_name}` (id {node.id}) {what}: its next login makes a new one"
        )
    before = _own_expiry(node)
    if within is None:
        return replace(node, expiry=before, rotation=Rotation(asked_at=now))
    if within <= timedelta():
        raise InvalidError("the time until a key has to be replaced must be positive, such as 14d")
    try:
        limit = now + within
    except OverflowError:
        raise InvalidError("the time until a key has to be replaced is beyond the calendar") from None
    if before is not None and before <= limit:
        return replace(node, expiry=before, rotation=Rotation(asked_at=now))
    return replace(node, expiry=limit, rotation=Rotation(asked_at=now, ends_at=limit, former_expiry=before))


def awaited(key: NodeKey | None, siblings: Iterable[Node], now: datetime) -> Node | None:
    """The node among those of one machine that holds this key and may replace it without a login."""
    for node in siblings:
        rotation = node.rotation
        if rotation is None or key is None or node.approval == REJECTED or node.expired(now):
            continue
        if rotation.replaced is None:
            if node.node_key == key:
                return node
        elif rotation.replaced == key and node.key_since is not None and now < node.key_since + ANSWER_LOST:
            return node
    return None


def renewed(node: Node, key: NodeKey, now: datetime) -> Node:
    """The node with its new key. Its expiry is what it was before: nobody logged in."""
    rotation = node.rotation
    assert rotation is not None
    return replace(
        node,
        node_key=key,
        key_since=now,
        expiry=_own_expiry(node),
        rotation=Rotation(asked_at=rotation.asked_at, replaced=rotation.replaced or node.node_key),
    )


def _own_expiry(node: Node) -> datetime | None:
    """The expiry as it was before somebody asked, unless it was changed since."""
    rotation = node.rotation
    if rotation is not None and rotation.ends_at is not None and node.expiry == rotation.ends_at:
        return rotation.former_expiry
    return node.expiry
