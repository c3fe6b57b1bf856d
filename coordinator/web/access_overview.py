"""The page at `/access` as HTML: what waits for somebody, what they may ask for, what they have asked."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import timedelta

from acl import AccessProfile
from acl.profiles import approvals_needed, default_seconds, max_seconds
from coordinator.services.access import AccessService
from coordinator.services.access_people import AccessPeople
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.users import User
from coordinator.web.access_html import button, duration_text, moment_text, rows_table

ACCESS_PATH = "/access"
MOST_SHOWN = 25
"""Of one's own requests; `access list` shows all."""
_LIVE = ("requested", "approved", "active")
_FIELD = '<p><label>{label}<br><input name="{name}" size="50" maxlength="1000"{more}></label></p>'


class AccessOverview:
    """Renders the page for one person."""

    def __init__(self, access: AccessService, people: AccessPeople) -> None:
        self._access = access
        self._people = people

    def body(self, user: User, node: Node | None, csrf: str, *, sign_out: bool) -> str:
        """Everything below the title.

        Args:
            user: Who looks.
            node: The machine that proves who they are, where one does; they ask for that one only.
            csrf: Proof for the forms.
            sign_out: Whether there is a session to end.
        """
        whence = f", at {html.escape(node.given_name)}" if node is not None else ""
        end = button(f"{ACCESS_PATH}/sign-out", "Sign out", csrf, "sign-out") if sign_out else ""
        return (
            f"<p>You are <b>{html.escape(user.login)}</b>{whence}. {end}</p>"
            f"{self._waiting(user, csrf)}{self._ask(user, node, csrf)}{self._own(user, csrf)}"
        )

    def _waiting(self, user: User, csrf: str) -> str:
        rows = [
            (
                str(each.id),
                html.escape(self._people.login(each.user_id)),
                *self._facts(each),
                button(f"{ACCESS_PATH}/requests/{each.id}/approve", "Approve", csrf, f"approve-{each.id}"),
                button(f"{ACCESS_PATH}/requests/{each.id}/deny", "Deny", csrf, f"deny-{each.id}"),
            )
            for each in self._people.waiting_for(user)
        ]
        if not rows:
            return ""
        headers = ["", "Who", "Wants", "From", "For", "Reason", "Ticket", "", ""]
        return f'<h2>Waiting for you</h2><div id="waiting">{rows_table(headers, rows)}</div>'

    def _own(self, user: User, csrf: str) -> str:
        rows = []
        for each in self._people.requests_of(user)[:MOST_SHOWN]:
            state = self._access.state(each)
            give_back = f"{ACCESS_PATH}/requests/{each.id}/give-back"
            until = moment_text(each.answer_by if state == "requested" else each.ended_at or each.closes_at)
            rows.append(
                (
                    str(each.id),
                    f"{state}" + (f" ({html.escape(each.end_reason)})" if each.end_reason else ""),
                    *self._facts(each),
                    until,
                    button(give_back, "Give back", csrf, f"give-back-{each.id}") if state in _LIVE else "",
                )
            )
        if not rows:
            return ""
        headers = ["", "State", "Wants", "From", "For", "Reason", "Ticket", "Until", ""]
        return f'<h2>Your requests</h2><div id="own">{rows_table(headers, rows)}</div>'

    def _facts(self, request: AccessRequest) -> tuple[str, ...]:
        texts = (
            request.profile,
            self._people.machine(request),
            duration_text(request.duration),
            request.reason or "-",
            request.ticket or "-",
        )
        return tuple(html.escape(text) for text in texts)

    def _ask(self, user: User, node: Node | None, csrf: str) -> str:
        profiles = self._people.profiles(user)
        if not profiles:
            return "<h2>Ask for access</h2><p>The policy has nothing you may ask for.</p>"
        machines = [node] if node is not None else self._people.machines(user)
        choices = [(profile.name.text, profile.name.text) for profile in profiles]
        own = [(str(each.id), each.given_name) for each in machines]
        every = [("", "all of mine")] if node is None else []
        breakable = any(self._people.may_break_glass(user, profile) for profile in profiles)
        glass = (
            '<p><label><input type="checkbox" name="break_glass" value="yes"> Break the glass: open at once,'
            " to be reviewed by somebody else</label></p>"
        )
        more = ' placeholder="such as 90m; empty for the usual"'
        return (
            "<h2>Ask for access</h2>"
            f"{_profiles_table(profiles)}"
            f'<form method="post" action="{ACCESS_PATH}/ask" id="ask">'
            f'<input type="hidden" name="csrf" value="{html.escape(csrf)}">'
            f"<p>{_select('profile', 'Profile', choices)} {_select('node', 'From', every + own)}</p>"
            f"{_FIELD.format(label='How long', name='for', more=more)}"
            f"{_FIELD.format(label='Reason', name='reason', more='')}"
            f"{_FIELD.format(label='Ticket', name='ticket', more='')}"
            f'{glass if breakable else ""}<button id="send">Ask</button></form>'
        )


def _profiles_table(profiles: Sequence[AccessProfile]) -> str:
    rows = []
    for profile in profiles:
        approvers = ", ".join(word.text for word in profile.approvers)
        needed = approvals_needed(profile)
        cells = (
            profile.name.text,
            ", ".join(word.text for word in profile.dst),
            duration_text(timedelta(seconds=default_seconds(profile))),
            duration_text(timedelta(seconds=max_seconds(profile))),
            f"{needed} of {approvers}" if needed else "nobody",
            profile.hours.text if profile.hours is not None else "any time",
            "needed" if profile.reason is not None and profile.reason.text == "required" else "-",
            profile.ticket.text if profile.ticket is not None else "-",
        )
        rows.append(tuple(html.escape(cell) for cell in cells))
    headers = ["Profile", "Opens", "Usually", "At most", "Approved by", "Hours", "Reason", "Ticket"]
    return rows_table(headers, rows)


def _select(name: str, label: str, choices: Sequence[tuple[str, str]]) -> str:
    options = "".join(
        f'<option value="{html.escape(value)}">{html.escape(text)}</option>' for value, text in choices
    )
    return f'<label>{label} <select name="{name}">{options}</select></label>'
