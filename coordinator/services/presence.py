"""What instances tell each other about connected nodes: endpoints, home relay, Hostinfo, online.

A node belongs to the instance that holds its map stream. When it comes to another one, that one says so, and
the former ends its stream. The newest word about a node takes the place of what was said before, so whoever
holds a node speaks up when somebody else had the last word. Nothing of this is durable; after a break
everybody says everything again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from coordinator.services.map_sessions import MapSessions
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.errors import CoordinatorError
from coordinator.tailnet.instances import LiveNode
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

GATHER_SECONDS = 0.02
"""How long news is gathered before it is written: in a storm many nodes share one statement."""
RETRY_SECONDS = 0.5
MAX_AT_ONCE = 500
LOST_GRACE = 30.0
"""Seconds until a node whose instance is gone counts as offline, unless it has come to another one."""


class LiveBoard(Protocol):
    """What this needs of `store.Board`."""

    async def tell(self, instance_id: str, version: int, nodes: Sequence[tuple[Node, bool]]) -> None:
        """Say what is new about nodes."""

    async def told(self, after: Sequence[tuple[str, int]]) -> list[LiveNode]:
        """What instances have said since a version of each."""


class Presence:
    """Tells the other instances, and takes over what they tell.

    Args:
        tailnet: Whose volatile facts these are.
        sessions: The map streams of this instance.
        board: Where it is written.
        instance: The id of this one.
    """

    def __init__(self, tailnet: Tailnet, sessions: MapSessions, board: LiveBoard, instance: str) -> None:
        self._tailnet = tailnet
        self._sessions = sessions
        self._board = board
        self._instance = instance
        self._version = 0
        self._outgoing: set[NodeID] = set()
        self._claims: set[NodeID] = set()
        """Came here, which is not written yet: older words of others do not count."""
        self._fresh: set[NodeID] = set()
        """Claims since the look that is under way began."""
        self._overheard: list[LiveNode] = []
        self._versions: dict[str, int] = {}
        self._homes: dict[NodeID, str] = {}
        self._early: dict[NodeID, LiveNode] = {}
        self._something = asyncio.Event()
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        tailnet.on_volatile(self._changed)
        tailnet.on_commit(lambda changes: self._settle() if self._early and changes.put_nodes else None)
        sessions.share(opened=self._opened, elsewhere=self.elsewhere)

    async def start(self) -> None:
        """Take over what the others say, then begin to tell them; UnavailableError when that fails."""
        await self.look()
        self._tasks = [
            spawn("presence, telling", self._tell_forever()),
            spawn("presence, told", self._look_forever()),
        ]

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def elsewhere(self, node_id: NodeID) -> bool:
        """Whether another instance holds the map stream of a node."""
        return node_id in self._homes

    def follow(self, others: Sequence[str]) -> None:
        """These are the other instances now; nodes of one that is gone come back elsewhere, or go offline."""
        for instance in self._versions.keys() - set(others):
            del self._versions[instance]
            orphans = [node_id for node_id, home in self._homes.items() if home == instance]
            for node_id in orphans:
                del self._homes[node_id]
                self._sessions.expect(node_id, LOST_GRACE)
        for instance in others:
            self._versions.setdefault(instance, -1)
        self.nudge()

    def nudge(self) -> None:
        """Somebody may have said something."""
        self._news.set()

    def repeat(self) -> None:
        """Say and hear everything again: notifications were missed, or the table was emptied by a crash."""
        self._versions = dict.fromkeys(self._versions, -1)
        for record in self._tailnet.snapshot.records.values():
            if self._sessions.holds(record.node.id):
                self._changed(record.node.id)
        self.nudge()

    async def look(self) -> None:
        """Take over what was said since the last look.

        Raises:
            UnavailableError: the database does not answer.
        """
        self._fresh = set(self._claims)
        said = await self._board.told(list(self._versions.items()))
        for live in said:
            if live.instance in self._versions:
                self._versions[live.instance] = max(self._versions[live.instance], live.version)
        # Who had the last word is plain once ours is written, too.
        self._overheard += [live for live in said if live.node_id in self._fresh]
        self._take([live for live in said if live.node_id not in self._fresh])
        self._hear_again()

    # inner

    def _opened(self, node_id: NodeID) -> None:
        self._homes.pop(node_id, None)
        self._claims.add(node_id)
        self._fresh.add(node_id)
        self._changed(node_id)

    def _changed(self, node_id: NodeID) -> None:
        self._outgoing.add(node_id)
        self._something.set()

    def _hear_again(self) -> None:
        settled = [live for live in self._overheard if live.node_id not in self._claims]
        if not settled:
            return
        self._overheard = [live for live in self._overheard if live.node_id in self._claims]
        for live in settled:
            if live.instance in self._versions:
                self._versions[live.instance] = min(self._versions[live.instance], live.version - 1)
        self.nudge()

    def _settle(self) -> None:
        """Nodes may have become known of which something was heard before."""
        early, self._early = list(self._early.values()), {}
        self._take(early)

    def _take(self, said: Sequence[LiveNode]) -> None:
        facts = {}
        known = self._tailnet.snapshot.index_of
        for live in said:
            node_id, told = live.node_id, dict(live.facts)
            if node_id not in known:
                # Ids are given in the order of commits: an older one was deleted, a newer is on the way.
                if node_id > max(known, default=0):
                    self._early[node_id] = live
                    self._tailnet.nudge()
                continue
            if live.connected:
                self._homes[node_id] = live.instance
                self._sessions.give_up(node_id)
            elif self._sessions.holds(node_id):
                # It is here: only this instance knows that it is online, and the others must hear it.
                del told["online"], told["last_seen"]
                self._changed(node_id)
            elif self._homes.get(node_id, live.instance) != live.instance:
                # A late word of where it was before.
                del told["online"], told["last_seen"]
            else:
                self._homes.pop(node_id, None)
            facts[node_id] = told
        self._tailnet.take_volatile(facts)
        for node_id in facts.keys() - self._homes.keys():
            # Online, and with nobody: it comes back somewhere, or nobody else would say that it is gone.
            self._sessions.expect(node_id, LOST_GRACE)

    async def _look_forever(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self.look()
            except CoordinatorError as error:
                log.warning("cannot hear other instances, will try again", error=error.message)
                self._news.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def _tell_forever(self) -> None:
        while True:
            await self._something.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._something.clear()
            try:
                await self._tell()
            except CoordinatorError as error:
                log.warning("cannot tell other instances, will try again", error=error.message)
                await asyncio.sleep(RETRY_SECONDS)
            if self._outgoing:
                self._something.set()

    async def _tell(self) -> None:
        chosen = list(self._outgoing)[:MAX_AT_ONCE]
        self._outgoing.difference_update(chosen)
        records = [record for each in chosen if (record := self._tailnet.snapshot.record(each))]
        if records:
            self._version += 1
            nodes = [(record.node, self._sessions.holds(record.node.id)) for record in records]
            try:
                await self._board.tell(self._instance, self._version, nodes)
            except CoordinatorError:
                self._outgoing.update(chosen)
                raise
        # One that came once more meanwhile waits for its next word.
        self._claims -= set(chosen) - self._outgoing
        self._hear_again()
