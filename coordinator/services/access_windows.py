"""The watch over open windows: what is open now is in force, what is over is closed and recorded.

Nothing depends on a timer that fires: what is open follows from stored facts, the policy and the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from acl import OpenWindow
from coordinator.services.access_rules import AccessRules
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest, EndReason
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import CoordinatorError
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

INTERVAL = 0.2
"""Seconds between looks at the clock, at most: so late a window closes when the clock jumped."""
ACTOR = Actor(kind="system", name="access")


class AccessWindows:
    """Keeps the policy in force in line with the requests.

    Args:
        requests: All of them by id; shared with the verbs, which change it.
    """

    def __init__(
        self,
        tailnet: Tailnet,
        rules: AccessRules,
        requests: dict[int, AccessRequest],
    ) -> None:
        self._tailnet = tailnet
        self._rules = rules
        self._requests = requests
        self._task: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []

    def on_refresh(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every look at what is open, several times a second and after each step."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Start watching the clock."""
        self._task = spawn("access windows", self._watch())

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def refresh(self) -> None:
        """Bring what is in force in line with what is open now."""
        self._tailnet.set_windows(self.windows(self._tailnet.clock()))
        for listener in self._listeners:
            listener()

    def windows(self, now: datetime) -> tuple[OpenWindow, ...]:
        """What is open at a moment, for which machines."""
        found = []
        for request in self._live():
            if request.state(now) != "active" or not self._rules.in_hours(request, now):
                continue
            closes_at = self._rules.closes_at(request, now)
            if closes_at is not None:
                nodes = tuple(sorted(node.id for node in self._rules.machines(request)))
                window = OpenWindow(id=request.id, profile=request.profile, nodes=nodes, closes_at=closes_at)
                found.append(window)
        return tuple(found)

    async def tick(self) -> None:
        """Close what is over, and record what time has ended."""
        # First: a window ends in time whether or not the database takes the record of it.
        self.refresh()
        now = self._tailnet.clock()
        for request in self._live():
            if request.overdue(now):
                limit = request.answer_by if request.closes_at is None else request.closes_at
                await self._end(request, limit, "expired")
            elif request.state(now) in ("active", "approved") and not self._rules.closes_at(request, now):
                await self._end(request, now, "policy")

    def _live(self) -> list[AccessRequest]:
        """The requests with no end on record; few of all there ever were."""
        requests = self._requests.values()
        return [each for each in requests if each.ended_at is None and each.denied_at is None]

    async def _end(self, request: AccessRequest, at: datetime, reason: EndReason) -> None:
        def command(directory: Directory) -> AccessRequest:
            current = directory.access(request.id)
            if current != request:
                return current  # somebody was faster; the next look decides anew
            ended = current.ended(at, str(ACTOR), reason)
            verb = "access.unanswered" if current.opens_at is None else "access.close"
            record_step(self._tailnet.clock(), directory, verb, ended, ACTOR)
            directory.put_access(ended)
            return ended

        await self._tailnet.execute(command)

    def _pause(self) -> float:
        """Seconds until the next look: at once when a window ends, and often anyway, as a clock may jump."""
        now = self._tailnet.clock()
        windows = self._tailnet.world.policy.windows.values()
        ends = [(each.closes_at - now).total_seconds() for each in windows if each.closes_at is not None]
        return max(0.001, min((INTERVAL, *ends)))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._pause())
            try:
                await self.tick()
            except CoordinatorError as error:
                log.warning("access windows not updated, will try again", error=error.message)
                await asyncio.sleep(INTERVAL)
            except Exception:
                # A watch that died of one surprise would leave every window open.
                log.exception("access windows not updated, will try again")
                await asyncio.sleep(INTERVAL)


def record_step(
    now: datetime,
    directory: Directory,
    verb: str,
    request: AccessRequest,
    actor: Actor,
    who: str = "",
    note: str = "",
    via: str = "",
) -> None:
    """One step of a request in the audit log; `who` is the person an administrator acted for.

    `via` says how an answer came (`link`, `page`, `webhook NAME`).
    """
    # The user may have been deleted since.
    logins = {user.id: user.login for user in directory.users()}
    after: dict[str, Any] = {
        "profile": request.profile,
        "user": logins.get(request.user_id, f"user {request.user_id}"),
        "node": request.node_id,
        "opens_at": request.opens_at.isoformat() if request.opens_at else None,
        "closes_at": request.closes_at.isoformat() if request.closes_at else None,
        "ticket": request.ticket,
        **({"mint": list(request.mint)} if request.mint else {}),
        "acting_for": who,
        **({"via": via} if via else {}),
    }
    target = f"access:{request.id}"
    directory.audit(now, actor, verb, target, after, name=request.profile, reason=note or request.reason)
