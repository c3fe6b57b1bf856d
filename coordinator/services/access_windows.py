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
from coordinator.services.policy import PolicyService
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest, EndReason
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import CoordinatorError
from coordinator.tailnet.users import UserID
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

INTERVAL = 0.2
"""Seconds between looks at the clock: a window closes that late at most, and its clients hear of it then."""
ACTOR = Actor(kind="system", name="access")


class AccessWindows:
    """Keeps the policy in force in line with the requests.

    Args:
        requests: All of them by id; shared with the verbs, which change it.
    """

    def __init__(
        self,
        tailnet: Tailnet,
        policy: PolicyService,
        rules: AccessRules,
        requests: dict[int, AccessRequest],
    ) -> None:
        self._tailnet = tailnet
        self._policy = policy
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

    async def refresh(self) -> None:
        """Bring the policy in force in line with what is open now."""
        await self._policy.open_windows(self.windows(self._tailnet.clock()))
        for listener in self._listeners:
            listener()

    def windows(self, now: datetime) -> tuple[OpenWindow, ...]:
        """What is open at a moment, for which addresses."""
        found = []
        for request in self._requests.values():
            open_now = request.state(now, in_hours=self._rules.in_hours(request, now)) == "active"
            if open_now and self._rules.still_allowed(request, now):
                sources = sorted(
                    str(address) for node in self._rules.machines(request) for address in node.addresses
                )
                found.append(OpenWindow(profile=request.profile, sources=tuple(sources)))
        return tuple(sorted(set(found), key=lambda window: (window.profile, window.sources)))

    async def tick(self) -> None:
        """Record what time has ended, and close what is over."""
        now = self._tailnet.clock()
        known = {profile.name.text for profile in self._rules.profiles()}
        for request in list(self._requests.values()):
            if request.overdue(now):
                limit = request.answer_by if request.closes_at is None else request.closes_at
                await self._end(request, limit, "expired")
            elif request.state(now) in ("active", "approved") and not (
                request.profile in known and self._rules.still_allowed(request, now)
            ):
                await self._end(request, now, "policy")
        await self.refresh()

    async def _end(self, request: AccessRequest, at: datetime, reason: EndReason) -> None:
        def command(directory: Directory) -> AccessRequest:
            current = directory.access(request.id)
            if current.ended_at is not None or current.denied_at is not None:
                return current
            ended = current.ended(at, str(ACTOR), reason)
            verb = "access.unanswered" if current.opens_at is None else "access.close"
            record_step(self._tailnet.clock(), directory, verb, ended, ACTOR)
            directory.put_access(ended)
            return ended

        self._requests[request.id] = await self._tailnet.execute(command)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.tick()
            except CoordinatorError as error:
                log.warning("access windows not updated, will try again", error=error.message)


def record_step(
    now: datetime,
    directory: Directory,
    verb: str,
    request: AccessRequest,
    actor: Actor,
    who: str = "",
    note: str = "",
) -> None:
    """One step of a request in the audit log; `who` is the person an administrator acted for."""
    after: dict[str, Any] = {
        "profile": request.profile,
        "user": directory.user(UserID(request.user_id)).login,
        "node": request.node_id,
        "opens_at": request.opens_at.isoformat() if request.opens_at else None,
        "closes_at": request.closes_at.isoformat() if request.closes_at else None,
        "ticket": request.ticket,
        "acting_for": who,
    }
    target = f"access:{request.id}"
    directory.audit(now, actor, verb, target, after, name=request.profile, reason=note or request.reason)
