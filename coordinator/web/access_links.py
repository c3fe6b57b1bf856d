"""`/access/links/…`: the page behind a signed one-time link, on which an approver answers a request.

Opening the page changes nothing, since mail scanners and previews of messengers open links as well; the
button does. The link itself is the proof of who answers, so there is no cookie that could be abused.
"""

from __future__ import annotations

import html

import structlog
from aiohttp import web

from coordinator.audit.origin import acting_from
from coordinator.services.access_answers import LINK_PATH, AccessAnswers, Question
from coordinator.services.access_people import AccessPeople
from coordinator.tailnet.actors import Origin
from coordinator.tailnet.errors import CoordinatorError
from coordinator.web.access_html import duration_text, error_page, facts_table, moment_text, private_page
from coordinator.web.origin import source_of

log = structlog.get_logger(__name__)

_TITLE = "This link does not work"


class AccessLinkPages:
    """Handlers of the public listener."""

    def __init__(self, answers: AccessAnswers, people: AccessPeople) -> None:
        self._answers = answers
        self._people = people

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        path = LINK_PATH + "{token}"
        return [web.get(path, self._ask), web.post(path, self._take)]

    async def _ask(self, request: web.Request) -> web.Response:
        try:
            question = self._answers.question(request.match_info["token"])
        except CoordinatorError as error:
            return error_page(error, _TITLE)
        verb = "Approve" if question.decision == "approve" else "Deny"
        # Without an action a form goes to the address of its page, which nothing here has to spell out.
        body = (
            f"{facts_table(self._facts(question))}"
            f"<p>You answer as <b>{html.escape(question.user.login)}</b>. The link works once.</p>"
            f'<form method="post"><button id="{question.decision}">{verb}</button></form>'
        )
        return private_page(200, f"{verb} this request?", body)

    async def _take(self, request: web.Request) -> web.Response:
        with acting_from(Origin(source=source_of(request))):
            try:
                answered = await self._answers.answer_link(request.match_info["token"])
            except CoordinatorError as error:
                log.info("answer by link refused", reason=error.message)
                return error_page(error, _TITLE)
        if answered.denied_at is not None:
            return private_page(200, "Denied", "<p>The request is denied. You can close this page.</p>")
        if answered.opens_at is None:
            text = "Your approval counts; the request waits for one more person."
        else:
            text = f"Access is open until {moment_text(answered.closes_at)}."
        return private_page(200, "Approved", f"<p>{text} You can close this page.</p>")

    def _facts(self, question: Question) -> list[tuple[str, str]]:
        asked = question.request
        return [
            ("Who", self._people.login(asked.user_id)),
            ("Wants", asked.profile),
            ("Which opens", self._people.opens(asked) or "-"),
            ("From", self._people.machine(asked)),
            ("For", duration_text(asked.duration)),
            ("Reason", asked.reason or "-"),
            ("Ticket", asked.ticket or "-"),
            ("Asked at", moment_text(asked.requested_at)),
            ("Answer until", moment_text(asked.answer_by)),
        ]
