"""Just-in-time access: a request, its life, and whether its window is open at a moment.

Everything follows from stored facts and the time: no timer has to fire for a window to close, so a server
that was down, or another one on the same database, comes to the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from coordinator.tailnet.errors import ConflictError
from coordinator.tailnet.users import UserID

State = Literal["requested", "approved", "active", "denied", "unanswered", "ended"]
Event = Literal["approve", "deny", "extend", "revoke", "give back", "review", "key"]
EndReason = Literal["expired", "revoked", "given back", "policy", "incident closed"]

EVENTS: Mapping[State, frozenset[Event]] = {
    "requested": frozenset({"approve", "deny", "give back"}),
    "approved": frozenset({"extend", "revoke", "give back", "key"}),
    "active": frozenset({"extend", "revoke", "give back", "review", "key"}),
    "denied": frozenset(),
    "unanswered": frozenset(),
    "ended": frozenset({"review"}),
}
"""What may happen to a request in each state; time alone moves it on from there:

requested -> unanswered when nobody answers in time, approved -> active while its hours last, active -> ended.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Somebody's yes: a login, or `administrator` for the server's own socket."""

    by: str
    at: datetime
    user_id: UserID | None = None

    @property
    def person(self) -> UserID | str:
        """Who it is whatever they are called later; a login may change between two answers."""
        return self.by if self.user_id is None else self.user_id


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """One request and what became of it. `node_id` None: all machines of the user.

    `mint` are the tags of a machine from outside that it is for, in place of the user's own; `key_id` is the
    pre-auth key that lets this machine in, once it was fetched.

    `opens_at` is set by the last approval that was needed; `ended_at` by an end before, or at, `closes_at`.
    """

    id: int
    profile: str
    user_id: UserID
    node_id: int | None
    duration: timedelta
    reason: str
    ticket: str
    requested_at: datetime
    answer_by: datetime
    approvals: tuple[Approval, ...] = ()
    denied_by: str = ""
    denied_at: datetime | None = None
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by: str = ""
    end_reason: EndReason | None = None
    host_scoped: bool = False
    break_glass: bool = False
    reviewed_by: str = ""
    incident: str = ""
    mint: tuple[str, ...] = ()
    key_id: int | None = None

    def state(self, now: datetime, *, in_hours: bool = True) -> State:
        """Where it stands at a moment."""
        if self.denied_at is not None:
            return "denied"
        if self.ended_at is not None:
            # What was recorded holds, also when a clock is put back.
            return "unanswered" if self.opens_at is None and self.end_reason == "expired" else "ended"
        if self.opens_at is None or self.closes_at is None:
            return "unanswered" if self.answer_by <= now else "requested"
        if self.closes_at <= now:
            return "ended"
        return "active" if self.opens_at <= now and in_hours else "approved"

    def require(self, event: Event, now: datetime, *, in_hours: bool = True) -> None:
        """Refuse what cannot happen in this state.

        Raises:
            ConflictError: which state it is in.
        """
        state = self.state(now, in_hours=in_hours)
        if event not in EVENTS[state]:
            words = "nobody answered it in time" if state == "unanswered" else f"it is {state}"
            raise ConflictError(f"request {self.id} cannot be changed that way ({event}): {words}")

    def approved_by(
        self, who: str, now: datetime, *, needed: int, user_id: UserID | None = None
    ) -> AccessRequest:
        """With one more approval; opened if it was the last one needed.

        Raises:
            ConflictError: this person has approved it already.
        """
        approval = Approval(by=who, at=now, user_id=user_id)
        if any(each.person == approval.person for each in self.approvals):
            raise ConflictError(f"{who} has approved request {self.id} already; somebody else has to")
        approvals = (*self.approvals, approval)
        if len({approval.person for approval in approvals}) < needed:
            return replace(self, approvals=approvals)
        return replace(self, approvals=approvals).opened(now)

    def opened(self, now: datetime) -> AccessRequest:
        """Open from now on for the time that was asked for."""
        return replace(self, opens_at=now, closes_at=now + self.duration)

    def ended(self, now: datetime, who: str, reason: EndReason) -> AccessRequest:
        """Over."""
        return replace(self, ended_at=now, ended_by=who, end_reason=reason)

    def overdue(self, now: datetime) -> bool:
        """Whether time alone has ended it, and that is not recorded yet."""
        if self.denied_at is not None or self.ended_at is not None:
            return False
        limit = self.answer_by if self.closes_at is None else self.closes_at
        return limit <= now

    def length(self) -> timedelta | None:
        """How long the window was, or will have been, open."""
        if self.opens_at is None or self.closes_at is None:
            return None
        end = min(self.closes_at, self.ended_at) if self.ended_at else self.closes_at
        return end - self.opens_at
