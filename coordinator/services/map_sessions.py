"""Open map streams, and the loop that tells each what it has not heard.

A change marks the sessions it may concern as dirty, nothing more. The first change after a quiet moment goes
out at once; what follows within the coalescing window goes out together. A session that cannot take a message
now stays dirty and skips states. No task per session: keepalives ride on one wheel.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Protocol

import structlog

from coordinator.netmap.builder import full_map
from coordinator.netmap.delta import SessionLostError, next_message
from coordinator.netmap.session import SessionState
from coordinator.services.tailnet import Tailnet
from coordinator.tailcfg.codec import encode, go_time
from coordinator.tailcfg.framing import frame, message, uncompressed
from coordinator.tailnet.bits import indices
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.snapshot import NodeRecord
from coordinator.telemetry.metrics import METRICS
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

KEEPALIVE_SECONDS = 50
KEEPALIVE_JITTER = 8
"""A client gives up after 120 s of silence; the jitter keeps thousands of streams from ticking together."""
OFFLINE_GRACE = 10.0
"""Seconds a node stays online after its stream ended: reconnects within it are not worth telling anyone."""
RESTART_GRACE = 60.0
"""Seconds after a start until a node that was online before counts as gone: most are back within two, a
client that found the port closed several times within 30."""
SLICE_SECONDS = 0.005
"""How long one turn of the fan-out may hold the event loop."""


REST_FACTOR = 1
MAX_REST_SECONDS = 1.0
"""After a fan-out that took long, the next waits as long again: in a storm more changes go out
together, and the storm's own requests get most of the time. A fan-out to 400 takes about 12 ms."""


class MapStream(Protocol):
    """The sending side of one map response, as `control.h2_server.ResponseStream` offers it."""

    on_writable: Callable[[], None] | None
    on_closed: Callable[[], None] | None

    @property
    def closed(self) -> bool:
        """Whether the client is gone."""

    def try_push(self, data: bytes) -> bool:
        """Take a whole message, or refuse because the former one is not through yet."""

    def reset(self) -> None:
        """End the stream; the client polls again within milliseconds."""


@dataclass(slots=True, eq=False)
class Session:
    """One node's present map stream."""

    stream: MapStream
    state: SessionState
    node: Node
    keepalives: bool
    compressed: bool
    last_sent: float
    stuck: bool = False
    slot: int = 0
    """Where on the keepalive wheel it is."""


class MapSessions:
    """All map streams of this instance, at most one a node."""

    def __init__(
        self,
        tailnet: Tailnet,
        *,
        window: float = 0.025,
        offline_grace: float = OFFLINE_GRACE,
        restart_grace: float = RESTART_GRACE,
    ) -> None:
        self._tailnet = tailnet
        self._window = window
        self._offline_grace = offline_grace
        self._restart_grace = restart_grace
        self._sessions: dict[int, Session] = {}
        self._connected = 0
        self._dirty = 0
        self._dirty_since = 0.0
        self._scheduled = False
        self._last_flush = 0.0
        self._rest = window
        self._spent = 0.0
        self._leaving: dict[NodeID, asyncio.TimerHandle] = {}
        self._wheel: dict[int, set[Session]] = {}
        self._wheel_position = 0
        self._task: asyncio.Task[None] | None = None
        self._opened: Callable[[NodeID], None] = _nothing
        self._elsewhere: Callable[[NodeID], bool] = _nowhere
        tailnet.on_change(self.poke)

    def __len__(self) -> int:
        return len(self._sessions)

    def share(self, *, opened: Callable[[NodeID], None], elsewhere: Callable[[NodeID], bool]) -> None:
        """There are other instances.

        Args:
            opened: Called with each node whose stream is here from now on.
            elsewhere: Whether another instance holds the stream of a node.
        """
        self._opened, self._elsewhere = opened, elsewhere

    def holds(self, node_id: NodeID) -> bool:
        """Whether the stream of a node is here."""
        record = self._tailnet.snapshot.record(node_id)
        return record is not None and record.index in self._sessions

    def give_up(self, node_id: NodeID) -> None:
        """The node has gone to another instance: what is left of it here ends, without a word to others."""
        timer = self._leaving.pop(node_id, None)
        if timer is not None:
            timer.cancel()
        record = self._tailnet.snapshot.record(node_id)
        former = None if record is None else self._sessions.pop(record.index, None)
        if former is not None:
            self._connected &= ~(1 << former.state.index)
            self._end(former)
            METRICS.sessions.set(len(self._sessions))

    def expect(self, node_id: NodeID, grace: float) -> None:
        """A node that was online comes back within `grace` seconds, or is offline as of now."""
        record = self._tailnet.snapshot.record(node_id)
        if record is None or not record.node.online or record.index in self._sessions:
            return
        if node_id not in self._leaving:
            now = self._tailnet.clock()
            self._leaving[node_id] = asyncio.get_running_loop().call_later(grace, self._offline, node_id, now)

    def start(self) -> None:
        """Start the keepalive wheel, and wait for those who were here before a restart."""
        for record in self._tailnet.snapshot.records.values():
            self.expect(record.node.id, self._restart_grace)
        self._task = spawn("keepalive wheel", self._turn_wheel())

    async def close(self) -> None:
        """End every stream; the clients come back to whoever listens then."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for timer in self._leaving.values():
            timer.cancel()
        for session in list(self._sessions.values()):
            session.stream.on_closed = None
            session.stream.reset()
        self._sessions.clear()
        self._connected = 0

    def open(
        self,
        record: NodeRecord,
        stream: MapStream,
        *,
        pinning: bool,
        keepalives: bool,
        compressed: bool = True,
    ) -> None:
        """Take over a stream: send the full map, and from now on what changes.

        The node's former stream, if it is still there, is ended: it belongs to a connection the client left.
        """
        loop = asyncio.get_running_loop()
        timer = self._leaving.pop(record.node.id, None)
        if timer is not None:
            timer.cancel()
        former = self._sessions.pop(record.index, None)
        if former is not None:
            self._end(former)
        current = self._tailnet.update_volatile(record.node.id, online=True)
        if current is None:
            stream.reset()
            return
        now = self._tailnet.clock()
        frames, state = full_map(self._tailnet.world, current, pinning=pinning, now=now)
        session = Session(
            stream=stream,
            state=state,
            node=current.node,
            keepalives=keepalives,
            compressed=compressed,
            last_sent=loop.time(),
        )
        self._sessions[current.index] = session
        self._connected |= 1 << current.index
        self._opened(current.node.id)
        stream.on_closed = lambda: self._closed(session)
        stream.on_writable = lambda: self._writable(session)
        METRICS.sessions.set(len(self._sessions))
        if not self._push(session, frame(frames), "full"):
            self._lose(session, "the stream refused its first message")
            return
        if keepalives:
            self._await_keepalive(session, loop.time())

    def poke(self, affected: int) -> None:
        """These nodes may have something to be told."""
        fresh = affected & self._connected & ~self._dirty
        if not fresh:
            return
        if not self._dirty:
            self._dirty_since = perf_counter()
        self._dirty |= fresh
        self._schedule()

    # fan-out

    def _schedule(self) -> None:
        if self._scheduled:
            return
        self._scheduled = True
        loop = asyncio.get_running_loop()
        wait = self._last_flush + self._rest - loop.time()
        if wait <= 0:
            loop.call_soon(self._flush)
        else:
            loop.call_later(wait, self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        loop = asyncio.get_running_loop()
        started = perf_counter()
        dirty, self._dirty = self._dirty & self._connected, 0
        waiting = indices(dirty)
        for position, index in enumerate(waiting):
            session = self._sessions.get(index)
            if session is not None:
                self._tell(session)
            if perf_counter() - started > SLICE_SECONDS and position + 1 < len(waiting):
                # The others go on in the next turn of the loop, before any new coalescing window.
                self._spent += perf_counter() - started
                for rest in waiting[position + 1 :]:
                    self._dirty |= 1 << rest
                self._scheduled = True
                loop.call_soon(self._flush)
                return
        self._last_flush = loop.time()
        spent, self._spent = self._spent + perf_counter() - started, 0.0
        self._rest = max(self._window, min(REST_FACTOR * spent, MAX_REST_SECONDS))
        METRICS.fanout_seconds.observe(perf_counter() - self._dirty_since)
        if self._dirty:
            self._dirty_since = perf_counter()
            self._schedule()

    def _tell(self, session: Session) -> None:
        record = self._tailnet.snapshot.records.get(session.state.index)
        if record is None or record.node.node_key != session.node.node_key:
            self._lose(session, "the node left or has a new key")
            return
        try:
            document, state = next_message(self._tailnet.world, session.state)
        except SessionLostError as error:
            self._lose(session, str(error))
            return
        if document is None or self._push(session, document, "delta"):
            session.state = state
            session.stuck = False
        else:
            session.stuck = True

    def _push(self, session: Session, document: bytes, kind: str) -> bool:
        if not session.stream.try_push(document if session.compressed else uncompressed(document)):
            return False
        session.last_sent = asyncio.get_running_loop().time()
        METRICS.map_responses.labels(kind=kind).inc()
        METRICS.map_size_bytes.labels(kind=kind).observe(len(document))
        return True

    def _writable(self, session: Session) -> None:
        if session.stuck:
            self.poke(1 << session.state.index)

    # keepalives

    def _await_keepalive(self, session: Session, now: float) -> None:
        # Never into a slot the wheel has passed: it would not come by again.
        wait = KEEPALIVE_SECONDS + random.uniform(0, KEEPALIVE_JITTER)
        due = max(int(now + wait), self._wheel_position + 1)
        session.slot = due
        self._wheel.setdefault(due, set()).add(session)

    def _leave_wheel(self, session: Session) -> None:
        """Else the slot would keep a dead session, and its connection, until the wheel comes by."""
        slot = self._wheel.get(session.slot)
        if slot is not None:
            slot.discard(session)
            if not slot:
                del self._wheel[session.slot]

    async def _turn_wheel(self) -> None:
        loop = asyncio.get_running_loop()
        self._wheel_position = int(loop.time())
        while True:
            await asyncio.sleep(1)
            now = loop.time()
            beat: bytes | None = None
            while self._wheel_position < int(now):
                self._wheel_position += 1
                for session in self._wheel.pop(self._wheel_position, ()):
                    if session.stream.closed or self._sessions.get(session.state.index) is not session:
                        continue
                    if session.last_sent + KEEPALIVE_SECONDS <= now:
                        beat = beat or self._keepalive()
                        self._push(session, beat, "keepalive")
                    self._await_keepalive(session, session.last_sent)

    def _keepalive(self) -> bytes:
        """One document for all sessions due in this second.

        ControlTime makes it differ from the bare text that clients from 1.90 on remember by its compressed
        length, after which they would swallow any message of that length.
        """
        moment = encode(go_time(self._tailnet.clock()))
        return message(b'{"KeepAlive":true,"ControlTime":' + moment + b"}\n")

    # endings

    def _lose(self, session: Session, reason: str) -> None:
        log.info("map stream ended by us", node_id=session.state.node_id, reason=reason)
        session.stream.reset()
        self._closed(session)

    def _end(self, session: Session) -> None:
        self._leave_wheel(session)
        session.stream.on_closed = None
        session.stream.on_writable = None
        session.stream.reset()

    def _closed(self, session: Session) -> None:
        index = session.state.index
        if self._sessions.get(index) is not session:
            return
        del self._sessions[index]
        self._leave_wheel(session)
        self._connected &= ~(1 << index)
        session.stream.on_closed = None
        session.stream.on_writable = None
        METRICS.sessions.set(len(self._sessions))
        node_id = session.state.node_id
        self._leaving[node_id] = asyncio.get_running_loop().call_later(
            self._offline_grace, self._offline, node_id
        )

    def _offline(self, node_id: NodeID, last_seen: datetime | None = None) -> None:
        self._leaving.pop(node_id, None)
        if self._elsewhere(node_id):
            return
        self._tailnet.update_volatile(node_id, online=False, last_seen=last_seen or self._tailnet.clock())


def _nothing(node_id: NodeID) -> None:
    """There is nobody else who has to know."""


def _nowhere(node_id: NodeID) -> bool:
    return False
