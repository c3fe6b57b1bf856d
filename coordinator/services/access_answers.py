"""Answers to requests for access that come by other ways than the API: signed links, and webhooks.

Whoever brings a genuine answer is taken for the person it names, and then has to be an approver at that
moment, like anybody else. A refusal of such an answer is recorded, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coordinator.services.access import AccessService
from coordinator.services.access_people import AccessPeople
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.answer_tokens import ANYBODY, LINK, Answer, AnswerTokens, Decision, answer_to
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, CoordinatorError, NotFoundError
from coordinator.tailnet.users import User

LINK_PATH = "/access/links/"


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalLinks:
    """The two links of one approver; whoever has them can answer as that person, once."""

    user: User
    approve: str
    deny: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody who opens a link is asked."""

    request: AccessRequest
    user: User
    decision: Decision


class AccessAnswers:
    """Offers answers and takes them.

    Args:
        server_url: Where browsers reach this server.
    """

    def __init__(
        self,
        tailnet: Tailnet,
        access: AccessService,
        people: AccessPeople,
        tokens: AnswerTokens,
        server_url: str,
    ) -> None:
        self._tailnet = tailnet
        self._access = access
        self._people = people
        self._tokens = tokens
        self._base = server_url.rstrip("/") + LINK_PATH

    # links

    async def links(
        self, request_id: int, users: Sequence[User] = (), *, actor: Actor
    ) -> list[PersonalLinks]:
        """Links for some approvers of a waiting request, or for all of them; recorded in the audit log.

        Raises:
            NotFoundError: no such request.
            ConflictError: it does not wait, somebody has approved it already, or nobody is left to answer.
            ForbiddenError: somebody named is no approver of it, or asked for it.
        """
        request = self._access.get(request_id)
        request.require("approve", self._tailnet.clock())
        profile = self._access.rules.profile(request.profile)
        for user in users:
            self._access.rules.require_decider(profile, request, user)
            if self._people.has_approved(user, request):
                raise ConflictError(f"{user.login} has approved request {request.id} already")
        found = list(users) or self._people.approvers(request)
        if not found:
            raise ConflictError(f"nobody is left who may approve request {request.id}: see `approvers`")
        after = {"for": [user.login for user in found]}

        def command(directory: Directory) -> None:
            now, target = self._tailnet.clock(), f"access:{request.id}"
            directory.audit(now, actor, "access.links", target, after, name=request.profile)

        await self._tailnet.execute(command)
        return [
            PersonalLinks(
                user=user,
                approve=self._link(request, "approve", user),
                deny=self._link(request, "deny", user),
            )
            for user in found
        ]

    def question(self, token: str) -> Question:
        """What a link asks; changes nothing.

        Raises:
            NotFoundError, ExpiredError: the link is worth nothing (any more).
            ForbiddenError, ConflictError: its person cannot answer (any more).
        """
        question = self._read_link(token)
        request, user = question.request, question.user
        self._access.rules.require_decider(self._access.rules.profile(request.profile), request, user)
        request.require(question.decision, self._tailnet.clock())
        if question.decision == "approve" and self._people.has_approved(user, request):
            raise ConflictError(f"you have approved request {request.id} already; somebody else has to")
        return question

    async def answer_link(self, token: str) -> AccessRequest:
        """Somebody pressed the button behind a link; the errors of `question`."""
        question = self._read_link(token)
        return await self._decide(question.request, question.decision, question.user, "link")

    # webhooks

    def offer(self, channel: str, request: AccessRequest, decision: Decision) -> str:
        """A token for a button that anybody may press whom the channel then names."""
        return self._tokens.make(channel, answer_to(request, decision, ANYBODY))

    def offered(self, channel: str, token: str) -> Answer:
        """What a button says.

        Raises:
            NotFoundError, ExpiredError: it is none of this channel, or too old.
        """
        return self._tokens.read(channel, token, self._tailnet.clock())

    async def answer_offer(self, channel: str, token: str, user: User) -> AccessRequest:
        """Somebody, whom the channel vouches for, pressed a button."""
        answer = self.offered(channel, token)
        return await self._decide(self._request(answer), answer.decision, user, channel)

    async def answer(self, channel: str, request_id: int, decision: Decision, user: User) -> AccessRequest:
        """Somebody, whom the channel vouches for, answered without a button."""
        return await self._decide(self._access.get(request_id), decision, user, channel)

    async def refuse(self, channel: str, request_id: int, person: str, why: str) -> None:
        """Record that somebody whom nobody here knows answered through a channel."""
        request, actor = self._access.get(request_id), Actor(kind="system", name=channel)
        await self._record_refusal(request, "", actor, channel, why, person)

    # inner

    def _link(self, request: AccessRequest, decision: Decision, user: User) -> str:
        return self._base + self._tokens.make(LINK, answer_to(request, decision, user.id))

    def _read_link(self, token: str) -> Question:
        answer = self._tokens.read(LINK, token, self._tailnet.clock())
        user = self._people.user(answer.user_id)
        if user is None:
            raise NotFoundError("the person this link was made for was deleted")
        return Question(request=self._request(answer), user=user, decision=answer.decision)

    def _request(self, answer: Answer) -> AccessRequest:
        request = self._access.get(answer.request_id)
        if not answer.belongs_to(request):
            raise NotFoundError(f"request {answer.request_id} is not the one this answer was offered for")
        return request

    async def _decide(
        self, request: AccessRequest, decision: Decision, user: User, via: str
    ) -> AccessRequest:
        actor = Actor(kind="user", name=user.login)
        try:
            # Also for a denial: who asked takes it back in their own name, not by an approver's button.
            profile = self._access.rules.profile(request.profile)
            self._access.rules.require_decider(profile, request, user)
            verb = self._access.approve if decision == "approve" else self._access.deny
            return await verb(request.id, by=user, actor=actor, via=via)
        except CoordinatorError as error:
            await self._record_refusal(request, decision, actor, via, error.message)
            raise

    async def _record_refusal(
        self, request: AccessRequest, decision: str, actor: Actor, via: str, why: str, person: str = ""
    ) -> None:
        after = {"decision": decision, "via": via, "refused": why, "person": person}

        def command(directory: Directory) -> None:
            now, target = self._tailnet.clock(), f"access:{request.id}"
            said = {name: text for name, text in after.items() if text}
            directory.audit(now, actor, "access.answer.refused", target, said, name=request.profile)

        await self._tailnet.execute(command)
