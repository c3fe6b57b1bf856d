"""Asks clients for new node keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from coordinator.services.node_changes import moment
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import InvalidError
from coordinator.tailnet.nodes import REJECTED, Node, NodeID
from coordinator.tailnet.rotation import ask
from coordinator.tailnet.users import UserID


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which keys: those of named nodes; or those of an age, of all machines or of one user's."""

    ids: Sequence[int] = ()
    older_than: timedelta | None = None
    user_id: UserID | None = None


class KeyRotation:
    """The verb on keys."""

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet = tailnet

    async def ask(self, wanted: Wanted, *, within: timedelta | None, actor: Actor) -> list[Node]:
        """Ask for new keys; all nodes or, on an error, none.

        Args:
            wanted: Nodes by id, or by age; keys that have ended are left out of the latter.
            within: When the present keys end at the latest; None: when their clients come anyway.
            actor: Who asks.

        Returns:
            The nodes that were asked, as they are now.

        Raises:
            InvalidError: neither ids nor an age, or both; a time that is not positive.
            NotFoundError: there is no such node.
            ConflictError: a node's key has ended already.
        """
        if bool(wanted.ids) == (wanted.older_than is not None):
            raise InvalidError("say which keys: give the ids of nodes, or an age such as 180d")
        if wanted.user_id is not None and wanted.ids:
            raise InvalidError("a user narrows an age, not ids")
        if wanted.older_than is not None and wanted.older_than <= timedelta():
            raise InvalidError("an age has to be positive, such as 180d")

        def command(directory: Directory) -> list[Node]:
            now = self._tailnet.clock()
            asked = []
            for node_id in self._ids(wanted):
                node = directory.node(node_id)
                changed = ask(node, now, within)
                directory.put_node(changed)
                before = {"expiry": moment(node.expiry)}
                after = {"expiry": moment(changed.expiry), "node_key": node.node_key}
                target, name = f"node:{node.id}", node.given_name
                directory.audit(now, actor, "node.rotate", target, after, before=before, name=name)
                asked.append(changed)
            return asked

        return await self._tailnet.execute(command)

    def _ids(self, wanted: Wanted) -> list[NodeID]:
        if wanted.older_than is None:
            return [NodeID(number) for number in dict.fromkeys(wanted.ids)]
        now = self._tailnet.clock()
        found = []
        for node in self._tailnet.snapshot.nodes():
            if node.expired(now) or node.approval == REJECTED:
                continue
            if wanted.user_id is not None and (node.tags or node.user_id != wanted.user_id):
                continue
            if now - (node.key_since or node.created_at) >= wanted.older_than:
                found.append(node.id)
        return found
