"""What happens by itself: keys that expire, ephemeral nodes that stay away."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from coordinator.services.node_changes import node_summary
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import NotFoundError, UnavailableError
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

INTERVAL = 0.5
"""Seconds between looks: an expiry reaches everyone within a second of its moment."""
ACTOR = Actor(kind="system", name="sweeper")


class Sweeper:
    """Carries out what time decides.

    Args:
        tailnet: Where.
        inactivity: How long an ephemeral node may be offline; counted from its last contact, or from the
            server's start where that is later, so that a restart costs nobody its node.
        notice: How long before its key expires a node is warned; zero: never.
    """

    def __init__(self, tailnet: Tailnet, *, inactivity: timedelta, notice: timedelta = timedelta()) -> None:
        self._tailnet = tailnet
        self._notice = notice
        self._inactivity = inactivity
        self._started = tailnet.clock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start looking."""
        self._task = spawn("sweeper", self._sweep_forever())

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self) -> None:
        """Look once."""
        for node_id in self._tailnet.expire_due():
            log.info("node key expired", node_id=node_id)
        if self._notice:
            for node in self._tailnet.warn_due(self._notice):
                log.warning("node key expires soon", node_id=node.id, expiry=str(node.expiry))
        for node_id in self._abandoned():
            await self._remove(node_id)

    def _abandoned(self) -> list[NodeID]:
        records = self._tailnet.snapshot.records.values()
        return [record.node.id for record in records if record.node.ephemeral and self._absent(record.node)]

    def _absent(self, node: Node) -> bool:
        """Whether it stayed away for too long; asked again in the writer, as it may just have come back."""
        deadline = self._tailnet.clock() - self._inactivity
        if node.online or self._started > deadline:
            return False
        return (node.last_seen or node.created_at) <= deadline

    async def _remove(self, node_id: NodeID) -> None:
        def command(directory: Directory) -> None:
            record = self._tailnet.snapshot.record(node_id)
            if record is None or not self._absent(record.node):
                return
            node = directory.delete_node(node_id)
            now, target, reason = self._tailnet.clock(), f"node:{node_id}", "ephemeral, inactive"
            name, before = node.given_name, node_summary(node)
            directory.audit(now, ACTOR, "node.delete", target, before=before, name=name, reason=reason)

        try:
            await self._tailnet.execute(command)
        except NotFoundError:
            return
        except UnavailableError as error:
            log.warning("ephemeral node not removed yet", node_id=node_id, error=error.message)
        else:
            log.info("ephemeral node removed", node_id=node_id)

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            await self.sweep()
