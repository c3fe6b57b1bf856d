"""The board of several instances in memory, as `store.Board` keeps it on PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from coordinator.store.rows import facts_from, facts_text
from coordinator.tailnet.errors import UnavailableError
from coordinator.tailnet.instances import Instance, LiveNode, Waiting
from coordinator.tailnet.nodes import Node, NodeID


class MemoryBoard:
    """Keeps the newest word about each node, and who is there; can be made to fail."""

    def __init__(self) -> None:
        self.there: dict[str, Instance] = {}
        self.live: dict[NodeID, LiveNode] = {}
        self.held: dict[str, Waiting] = {}
        self.decisions: dict[str, bool] = {}
        self.broken = False

    def _answer(self) -> None:
        if self.broken:
            raise UnavailableError("the database is away")

    async def join(self, instance: Instance) -> None:
        self._answer()
        self.there[instance.id] = instance

    async def beat(self, instance_id: str) -> bool:
        self._answer()
        found = self.there.get(instance_id)
        if found is not None:
            self.there[instance_id] = replace(found, beats=found.beats + 1)
        return found is not None

    async def leave(self, instance_id: str) -> None:
        self._answer()
        self.there.pop(instance_id, None)

    async def instances(self) -> list[Instance]:
        self._answer()
        return sorted(self.there.values(), key=lambda each: (each.started_at, each.id))

    async def tell(self, instance_id: str, version: int, nodes: Sequence[tuple[Node, bool]]) -> None:
        self._answer()
        for node, connected in nodes:
            self.live[node.id] = LiveNode(
                node_id=node.id,
                instance=instance_id,
                version=version,
                connected=connected,
                facts=facts_from(facts_text(node)),
            )

    async def told(self, after: Sequence[tuple[str, int]]) -> list[LiveNode]:
        self._answer()
        return [
            live
            for instance_id, version in after
            for live in sorted(self.live.values(), key=lambda each: each.version)
            if live.instance == instance_id and live.version > version
        ]

    async def await_decision(self, waiting: Sequence[Waiting], oldest: datetime) -> None:
        self._answer()
        self.held = {key: each for key, each in self.held.items() if each.began >= oldest}
        for each in waiting:
            self.held.setdefault(each.id, each)

    async def decide(self, waiting_id: str, decision: bool) -> None:
        self._answer()
        if waiting_id in self.held:
            self.decisions[waiting_id] = decision

    async def waiting(self, known: Collection[str]) -> tuple[list[Waiting], dict[str, bool]]:
        self._answer()
        open_ones = [each for key, each in self.held.items() if key not in self.decisions]
        return [each for each in open_ones if each.id not in known], dict(self.decisions)
