"""Answers by link and webhook: genuine, in time, once, and by somebody who may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from coordinator.services.access_answers import AccessAnswers
from coordinator.services.access_people import AccessPeople
from coordinator.tailnet.answer_tokens import AnswerTokens
from coordinator.tailnet.errors import (
    ConflictError,
    ExpiredError,
    ForbiddenError,
    NotFoundError,
)
from coordinator.tailnet.state import AuditEntry
from tests.coordinator.services.test_access import (
    ACTOR,
    GUEST,
    LEAD,
    OPS,
    OTHER_LEAD,
    Bench,
    make_bench,
    policy,
)


@dataclass
class Answering:
    bench: Bench
    answers: AccessAnswers

    async def links(self, request_id: int) -> tuple[str, str]:
        (made,) = await self.answers.links(request_id, [LEAD], actor=ACTOR)
        return made.approve.rpartition("/")[2], made.deny.rpartition("/")[2]

    def audited(self) -> list[AuditEntry]:
        return [entry for commit in self.bench.store.commits for entry in commit.audit]


async def make_answering(**changes: object) -> Answering:
    bench = await make_bench(**changes)
    people = AccessPeople(bench.tailnet, bench.access)
    tokens = AnswerTokens(bytes(32))
    answers = AccessAnswers(bench.tailnet, bench.access, people, tokens, "https://vpn.example/")
    return Answering(bench, answers)


@pytest.fixture
async def answering() -> AsyncIterator[Answering]:
    made = await make_answering()
    yield made
    await made.bench.tailnet.close()


async def test_a_link_opens_the_window_once(answering: Answering) -> None:
    request = await answering.bench.ask()
    made = await answering.answers.links(request.id, actor=ACTOR)
    assert [each.user for each in made] == [LEAD, OTHER_LEAD]
    assert made[0].approve.startswith("https://vpn.example/access/links/approve.1.2.")
    approve, deny = await answering.links(request.id)
    question = answering.answers.question(approve)
    assert (question.request, question.user, question.decision) == (request, LEAD, "approve")
    assert answering.bench.access.state(answering.bench.access.get(request.id)) == "requested"
    opened = await answering.answers.answer_link(approve)
    assert answering.bench.access.state(opened) == "active"
    for token in (approve, deny):
        with pytest.raises(ConflictError, match="it is active"):
            answering.answers.question(token)
        with pytest.raises(ConflictError, match="it is active"):
            await answering.answers.answer_link(token)
    by_link = next(entry for entry in answering.audited() if entry.action == "access.approve")
    assert (str(by_link.actor), by_link.after["via"], by_link.after["acting_for"]) == (
        "user:user2", "link", "user2"
    )  # fmt: skip
    handed_out = [entry.after["for"] for entry in answering.audited() if entry.action == "access.links"]
    assert handed_out == [["user2", "user3"], ["user2"]]
    refused = [entry for entry in answering.audited() if entry.action == "access.answer.refused"]
    assert [(entry.after["decision"], entry.after["via"]) for entry in refused] == [
        ("approve", "link"), ("deny", "link")
    ]  # fmt: skip


async def test_of_two_approvals_a_link_gives_one() -> None:
    answering = await make_answering(approvals=2)
    request = await answering.bench.ask()
    approve, _ = await answering.links(request.id)
    assert (await answering.answers.answer_link(approve)).opens_at is None
    with pytest.raises(ConflictError, match="already"):
        answering.answers.question(approve)
    with pytest.raises(ConflictError, match="already"):
        await answering.answers.answer_link(approve)
    with pytest.raises(ConflictError, match="already"):
        await answering.links(request.id)
    await answering.bench.tailnet.close()


async def test_a_link_denies(answering: Answering) -> None:
    request = await answering.bench.ask()
    _, deny = await answering.links(request.id)
    assert (await answering.answers.answer_link(deny)).denied_by == "user2"
    with pytest.raises(ConflictError, match="it is denied"):
        await answering.links(request.id)


async def test_who_is_no_approver_any_more_cannot_answer(answering: Answering) -> None:
    request = await answering.bench.ask()
    approve, deny = await answering.links(request.id)
    await answering.bench.policy.set(policy(approvers=["user3@"]), actor=ACTOR)
    for token in (approve, deny):
        with pytest.raises(ForbiddenError, match="no approver"):
            answering.answers.question(token)
        with pytest.raises(ForbiddenError, match="no approver"):
            await answering.answers.answer_link(token)
    assert answering.bench.access.state(answering.bench.access.get(request.id)) == "requested"


async def test_nobody_answers_their_own_request() -> None:
    answering = await make_answering(approvers=["user1@", "user2@"])
    request = await answering.bench.ask()
    assert [each.user for each in await answering.answers.links(request.id, actor=ACTOR)] == [LEAD]
    with pytest.raises(ForbiddenError, match="somebody else has to decide"):
        await answering.answers.links(request.id, [OPS], actor=ACTOR)
    for decision in ("approve", "deny"):
        with pytest.raises(ForbiddenError, match="somebody else has to decide"):
            await answering.answers.answer("hook:x", request.id, decision, OPS)  # type: ignore[arg-type]
    assert answering.bench.access.state(answering.bench.access.get(request.id)) == "requested"
    await answering.bench.tailnet.close()


async def test_links_end_with_the_request_and_belong_to_it(answering: Answering) -> None:
    request = await answering.bench.ask()
    approve, _ = await answering.links(request.id)
    # As in a database restored from before: another request under the same id.
    answering.bench.access.requests[request.id] = replace(
        request, answer_by=request.answer_by.replace(year=2027)
    )
    with pytest.raises(NotFoundError, match="not the one"):
        await answering.answers.answer_link(approve)
    answering.bench.access.requests[request.id] = request
    answering.bench.clock.forward(hours=1)
    with pytest.raises(ExpiredError):
        await answering.answers.answer_link(approve)
    with pytest.raises(NotFoundError):
        answering.answers.question("approve.1.2.3.x")


async def test_buttons_take_the_person_the_channel_names(answering: Answering) -> None:
    request = await answering.bench.ask()
    token = answering.answers.offer("hook:chat", request, "approve")
    with pytest.raises(NotFoundError):
        answering.answers.offered("hook:other", token)
    with pytest.raises(NotFoundError):
        answering.answers.question(token)
    with pytest.raises(ForbiddenError, match="no approver"):
        await answering.answers.answer_offer("hook:chat", token, GUEST)
    opened = await answering.answers.answer_offer("hook:chat", token, OTHER_LEAD)
    assert [each.by for each in opened.approvals] == ["user3"]
    assert [entry.after["via"] for entry in answering.audited() if entry.action == "access.approve"] == [
        "hook:chat"
    ]


async def test_a_person_who_was_deleted(answering: Answering) -> None:
    request = await answering.bench.ask()
    approve, _ = await answering.links(request.id)
    await answering.bench.tailnet.execute(lambda directory: directory.delete_user(LEAD.id))
    with pytest.raises(NotFoundError, match="deleted"):
        await answering.answers.answer_link(approve)
