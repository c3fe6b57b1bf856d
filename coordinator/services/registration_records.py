"""What the audit log says of registrations: joins, logouts, refusals."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from coordinator.audit.budget import RefusalBudget
from coordinator.services.node_changes import MAX_NAME, moment, node_summary
from coordinator.services.tailnet import Tailnet
from coordinator.tailcfg.hostinfo import hostname
from coordinator.tailcfg.keys import MachineKey
from coordinator.tailcfg.register import RegisterRequest
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.registration import Join
from coordinator.telemetry.metrics import METRICS


def record_join(directory: Directory, now: datetime, actor: Actor, join: Join, node: Node, verb: str) -> None:
    """A machine came in: one entry for the node, and one for the key that let it in."""
    key = join.key
    after = node_summary(node) | {"auth_key": key.id if key else None}
    before = node_summary(join.former) if join.former is not None else None
    target = f"node:{node.id}"
    directory.audit(now, actor, verb, target, after, before=before, name=node.given_name)
    if key is not None:
        directory.audit(
            now,
            actor,
            "preauthkey.use",
            f"preauthkey:{key.id}",
            {"used": True, "node": node.id},
            before={"used": key.used},
            name=key.masked,
        )


def record_client(directory: Directory, now: datetime, action: str, node: Node, changed: Node | None) -> None:
    """A client shortened its own key's life, logged out, or (`changed` None) vanished by logging out."""
    after: dict[str, Any] = {"expiry": moment(changed.expiry)} if changed is not None else {}
    before = {"expiry": moment(node.expiry)} if changed is not None else node_summary(node)
    directory.audit(
        now,
        Actor(kind="node", name=str(node.id)),
        action,
        f"node:{node.id}",
        after,
        before=before,
        name=node.given_name,
        reason="logout" if changed is None else "",
    )


class RefusalRecorder:
    """Records refused registrations, within the budget of refusals."""

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet = tailnet
        self._budget = RefusalBudget()

    async def record(self, machine_key: MachineKey, request: RegisterRequest, reason: str) -> None:
        """One refusal; the machine is told only after it is recorded.

        Raises:
            UnavailableError: it could not be; the client comes again.
        """
        now = self._tailnet.clock()
        unrecorded = self._budget.take(now)
        if unrecorded is None:
            METRICS.audit_refusals_unrecorded.inc()
            return
        after: dict[str, Any] = {"node_key": request.node_key}
        if unrecorded:
            after["not_recorded_before"] = unrecorded
        name = hostname(request.hostinfo or {})[:MAX_NAME]

        def command(directory: Directory) -> None:
            actor = Actor(kind="node", name=machine_key)
            target = f"machine:{machine_key}"
            directory.audit(now, actor, "node.register.refused", target, after, name=name, reason=reason)

        await self._tailnet.execute(command)
