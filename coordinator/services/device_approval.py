"""Approving and rejecting devices that joined and wait."""

from __future__ import annotations

from dataclasses import replace

from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError
from coordinator.tailnet.nodes import APPROVED, REJECTED, NodeID


class DeviceApproval:
    """The two decisions an administrator makes on a device."""

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet = tailnet

    async def approve(self, node_id: int, *, actor: Actor) -> None:
        """Admit a waiting device; repeating it changes nothing.

        Raises:
            NotFoundError: no such node.
            ConflictError: it was rejected, which is final for its NodeKey.
        """

        def command(directory: Directory) -> None:
            node = directory.node(NodeID(node_id))
            if node.approval == REJECTED:
                raise ConflictError(
                    f"node {node_id} was rejected, which is final for its key: "
                    "let the machine log in anew (`tailscale up --force-reauth`), or delete the node"
                )
            if node.approved:
                return
            directory.put_node(replace(node, approval=APPROVED))
            details = {"given_name": node.given_name}
            directory.audit(self._tailnet.clock(), actor, "node.device_approve", f"node:{node_id}", details)

        await self._tailnet.execute(command)

    async def reject(self, node_id: int, *, actor: Actor) -> None:
        """Shut a device out: its key ends now, and every further use of that key is refused.

        An approved device may be rejected too. Repeating it changes nothing.

        Raises:
            NotFoundError: no such node.
        """

        def command(directory: Directory) -> None:
            node = directory.node(NodeID(node_id))
            if node.approval == REJECTED:
                return
            now = self._tailnet.clock()
            # The past expiry is what a running client understands: it asks for a login at once.
            directory.put_node(replace(node, approval=REJECTED, expiry=now))
            details = {"given_name": node.given_name, "was": node.approval}
            directory.audit(now, actor, "node.device_reject", f"node:{node_id}", details)

        await self._tailnet.execute(command)
