"""Just-in-time access: asked for, approved, open for a while, closed by itself.

A request is durable before it is answered, and each step leaves an entry in the audit log. What is open is
recomputed from stored facts, the policy and the time, several times a second and after every step; the policy
in force is the written one plus the rules of the open windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from acl.profiles import (
    approvals_needed,
    host_scoped,
    max_seconds,
    unanswered_seconds,
)
from coordinator.services.access_rules import (
    AccessRules,
    Asked,
    duration_of,
    hours_text,
    require_texts,
    tags_to_mint,
)
from coordinator.services.access_windows import AccessWindows, record_step
from coordinator.services.policy import PolicyService
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest, EndReason, Event, State
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.state import ChangeSet
from coordinator.tailnet.users import User, require_active

log = structlog.get_logger(__name__)

INTERVAL = 0.2
"""Seconds between looks at the clock: a window closes that late at most, and its clients hear of it then."""
ADMINISTRATOR = "administrator"
"""Who approved, when it was the server's own socket and no person was named."""
ACTOR = Actor(kind="system", name="access")
MAX_TEXT = 1000

_Change = Callable[[AccessRequest, datetime, Sequence[AccessRequest]], AccessRequest]
"""The request after a step: from what it was, the present, and all requests."""


class AccessService:
    """Verbs on requests, and the watch over open windows."""

    def __init__(self, tailnet: Tailnet, policy: PolicyService, requests: Iterable[AccessRequest]) -> None:
        self._tailnet = tailnet
        self.requests = {request.id: request for request in requests}
        self.rules = AccessRules(tailnet, policy)
        self.windows = AccessWindows(tailnet, self.rules, self.requests)
        tailnet.on_commit(self._take)

    # reading

    def newest_first(self) -> list[AccessRequest]:
        """All requests, newest first."""
        return sorted(self.requests.values(), key=lambda request: -request.id)

    def get(self, request_id: int) -> AccessRequest:
        """One request; NotFoundError when there is none."""
        found = self.requests.get(request_id)
        if found is None:
            raise NotFoundError(f"access request {request_id} does not exist; `access list` shows them")
        return found

    def node(self, text: str) -> Node:
        """A machine by id or given name; NotFoundError when there is none."""
        for record in self._tailnet.snapshot.records.values():
            if text in (str(record.node.id), record.node.given_name):
                return record.node
        raise NotFoundError(f"node `{text}` does not exist")

    def owner_of(self, node: Node) -> User | None:
        """Whose machine it is; None for a tagged one."""
        if node.tags or node.user_id is None:
            return None
        return self._tailnet.snapshot.users.get(node.user_id)

    def state(self, request: AccessRequest) -> State:
        """Where a request stands now."""
        now = self._tailnet.clock()
        return request.state(now, in_hours=self.rules.in_hours(request, now))

    # verbs

    async def request(
        self,
        asked: Asked,
        *,
        actor: Actor,
        along: Callable[[Directory, AccessRequest], None] | None = None,
    ) -> AccessRequest:
        """Ask for access; it opens at once where nobody has to approve.

        `along` is done in the same step: if it fails, nothing was asked for.

        Raises:
            NotFoundError: no such profile.
            ForbiddenError: this person may not ask for it, now or from this machine.
            InvalidError: reason, ticket or duration do not fit the profile.
            ConflictError: as many windows are open as the profile allows.
        """
        profile = self.rules.profile(asked.profile)
        now = self._tailnet.clock()
        self.rules.require_allowed(profile, asked, now)
        duration = duration_of(profile, asked.duration)
        require_texts(profile, asked)
        mint = tags_to_mint(profile, asked)
        at_once = asked.break_glass or not approvals_needed(profile)

        def command(directory: Directory) -> AccessRequest:
            require_active(directory.user(asked.user.id))
            if at_once:
                # On what is stored: another may have opened meanwhile, here or at another instance.
                self.rules.require_room(profile, directory.access_requests(), now)
            request = AccessRequest(
                id=directory.next_id("access"),
                profile=asked.profile,
                user_id=asked.user.id,
                node_id=asked.node_id,
                duration=duration,
                reason=asked.reason,
                ticket=asked.ticket,
                requested_at=now,
                answer_by=now + timedelta(seconds=unanswered_seconds(profile)),
                host_scoped=host_scoped(profile),
                break_glass=asked.break_glass,
                mint=mint,
            )
            record_step(now, directory, "access.request", request, actor)
            if at_once:
                request = request.opened(now)
                verb = "access.break_glass" if asked.break_glass else "access.open"
                record_step(now, directory, verb, request, actor)
            directory.put_access(request)
            if along is not None:
                along(directory, request)
            return request

        request = await self._apply(command)
        if asked.break_glass:
            log.warning("access opened without approval (break-glass)", access_id=request.id)
        return request

    async def approve(
        self, request_id: int, *, by: User | None, actor: Actor, via: str = ""
    ) -> AccessRequest:
        """Say yes; the last yes that is needed opens the window at once.

        Args:
            request_id: Of the request.
            by: Who says it; None: the administrator on the server.
            actor: On whose behalf the server acts.
            via: How the answer came, for the audit log, where that is not plain from the actor.

        Raises:
            ForbiddenError: the one who asked, or nobody who may approve.
            ConflictError: it does not wait for an answer, or this person has answered.
        """
        who = by.login if by is not None else ADMINISTRATOR
        profile = self.rules.profile(self.get(request_id).profile)
        self.rules.require_decider(profile, self.get(request_id), by)

        def change(request: AccessRequest, now: datetime, others: Sequence[AccessRequest]) -> AccessRequest:
            user_id = by.id if by is not None else None
            changed = request.approved_by(who, now, needed=approvals_needed(profile), user_id=user_id)
            if changed.opens_at is not None:
                if not self.rules.in_hours(request, now):
                    raise ConflictError(f"profile `{profile.name.text}` opens only {hours_text(profile)}")
                self.rules.require_room(profile, others, now)
            return changed

        return await self._change(request_id, "approve", "access.approve", change, actor, who, via=via)

    async def deny(self, request_id: int, *, by: User | None, actor: Actor, via: str = "") -> AccessRequest:
        """Say no; it is final."""
        who = by.login if by is not None else ADMINISTRATOR
        request = self.get(request_id)
        if by is not None and by.id != request.user_id:
            self.rules.require_decider(self.rules.profile(request.profile), request, by)
        return await self._change(
            request_id,
            "deny",
            "access.deny",
            lambda found, now, _: replace(found, denied_by=who, denied_at=now),
            actor,
            who,
            via=via,
        )

    async def extend(
        self, request_id: int, by_how_much: timedelta, *, by: User | None, actor: Actor
    ) -> AccessRequest:
        """Let a window stay open longer, up to what the profile allows in all.

        Raises:
            InvalidError: it would be open longer than the profile's maxDuration.
        """
        who = by.login if by is not None else ADMINISTRATOR
        if by_how_much <= timedelta():
            raise InvalidError("a window is extended by a positive time, such as 30m")
        profile = self.rules.profile(self.get(request_id).profile)
        self.rules.require_decider(profile, self.get(request_id), by)

        def change(request: AccessRequest, now: datetime, _: Sequence[AccessRequest]) -> AccessRequest:
            assert request.opens_at is not None
            assert request.closes_at is not None
            closes = request.closes_at + by_how_much
            if closes - request.opens_at > timedelta(seconds=max_seconds(profile)):
                raise InvalidError(
                    f"the window would be open longer than maxDuration of `{profile.name.text}` "
                    f"({timedelta(seconds=max_seconds(profile))}); ask for a new one"
                )
            return replace(request, closes_at=closes)

        return await self._change(request_id, "extend", "access.extend", change, actor, who)

    async def revoke(self, request_id: int, *, by: User | None, actor: Actor) -> AccessRequest:
        """End a window, or take a request back, now; by the one who asked it counts as given back."""
        request = self.get(request_id)
        who = by.login if by is not None else ADMINISTRATOR
        own = by is not None and by.id == request.user_id
        if by is not None and not own:
            self.rules.require_decider(self.rules.profile(request.profile), request, by)
        reason: EndReason = "given back" if own else "revoked"
        event: Event = "give back" if own or self.state(request) == "requested" else "revoke"
        verb = "access.give_back" if own else "access.revoke"
        return await self._change(
            request_id, event, verb, lambda found, now, _: found.ended(now, who, reason), actor, who
        )

    async def review(self, request_id: int, *, by: User | None, note: str, actor: Actor) -> AccessRequest:
        """Say that a break-glass opening was looked at; not by the one who used it."""
        who = by.login if by is not None else ADMINISTRATOR
        request = self.get(request_id)
        if not request.break_glass:
            raise ConflictError(
                f"request {request_id} was opened in the usual way: there is nothing to review"
            )
        if by is not None and by.id == request.user_id:
            raise ForbiddenError("somebody else has to review what you opened yourself")
        return await self._change(
            request_id,
            "review",
            "access.review",
            lambda found, now, _: replace(found, reviewed_by=who),
            actor,
            who,
            note,
        )

    # inner

    async def _change(
        self,
        request_id: int,
        event: Event,
        verb: str,
        change: _Change,
        actor: Actor,
        who: str,
        note: str = "",
        via: str = "",
    ) -> AccessRequest:
        def command(directory: Directory) -> AccessRequest:
            now = self._tailnet.clock()
            before = directory.access(request_id)
            before.require(event, now, in_hours=self.rules.in_hours(before, now))
            after = change(before, now, directory.access_requests())
            record_step(now, directory, verb, after, actor, who, note, via)
            if before.opens_at is None and after.opens_at is not None:
                record_step(now, directory, "access.open", after, actor, who)
            directory.put_access(after)
            return after

        return await self._apply(command)

    async def _apply(self, command: Callable[[Directory], AccessRequest]) -> AccessRequest:
        return await self._tailnet.execute(command)

    def _take(self, changes: ChangeSet) -> None:
        """Follow every commit, also those of other instances: what opens or closes does so at once."""
        if changes.put_access:
            self.requests.update(changes.put_access)
            self.windows.refresh()
