"""Which steps of a request are told, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from coordinator.tailnet.access import AccessRequest, State
from coordinator.webhooks.config import EventName

EVENT_OF: Mapping[str, EventName] = {
    "access.request": "requested",
    "access.open": "opened",
    "access.incident": "opened",
    "access.break_glass": "break-glass",
    "access.deny": "denied",
    "access.close": "ended",
    "access.revoke": "ended",
    "access.give_back": "ended",
    "access.unanswered": "ended",
    "access.incident_close": "ended",
}
"""By the action of the entry in the audit log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessEvent:
    """A step, and the request as it is by the time that is told.

    `id` and `at` are the audit entry's; `by` is who did it; `approvers` are those who may still answer.
    """

    id: int
    at: str
    name: EventName
    request: AccessRequest
    state: State
    user: str
    machine: str
    by: str
    approvals_needed: int
    approvers: tuple[str, ...] = ()

    @property
    def open_question(self) -> bool:
        """Whether somebody can answer now."""
        return self.name == "requested" and self.state == "requested"


def headline(event: AccessEvent) -> str:
    """One sentence."""
    request = event.request
    what = f"`{request.profile}`" + (f" (incident {request.incident})" if request.incident else "")
    if event.name == "requested":
        return f"{event.user} asks for {what}"
    if event.name == "break-glass":
        return f"BREAK-GLASS: {event.user} opened {what} without approval"
    if event.name == "denied":
        return f"{event.by} denied {event.user} {what}"
    if event.name == "opened":
        return f"{what} is open for {event.user} until {moment(request.closes_at)}"
    if request.opens_at is None:
        why = "nobody answered in time" if request.end_reason == "expired" else "taken back"
        return f"The request of {event.user} for {what} is over: {why}"
    return f"{what} is closed for {event.user}: {request.end_reason or 'expired'}"


def facts(event: AccessEvent) -> list[tuple[str, str]]:
    """What a person wants to know before they answer: label and text."""
    request = event.request
    found = [
        ("Request", str(request.id)),
        ("From", event.machine),
        ("For", duration(request)),
        ("Reason", request.reason),
        ("Ticket", request.ticket),
    ]
    if event.open_question:
        found.append(("Approvers", ", ".join(event.approvers)))
        found.append(("Approvals", f"{len(request.approvals)} of {event.approvals_needed}"))
        found.append(("Answer until", moment(request.answer_by)))
    elif event.name == "opened":
        found.append(("Approved by", ", ".join(each.by for each in request.approvals)))
    return [(label, text) for label, text in found if text]


def moment(at: datetime | None) -> str:
    """A time for people."""
    return "-" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration(request: AccessRequest) -> str:
    """How long, such as `1h 30m`."""
    minutes = int(request.duration.total_seconds()) // 60
    hours, minutes = divmod(minutes, 60)
    parts = [f"{amount}{unit}" for amount, unit in ((hours, "h"), (minutes, "m")) if amount]
    return " ".join(parts) or f"{int(request.duration.total_seconds())}s"
