"""Entries of the audit log as events."""

from __future__ import annotations

import json
from typing import Any

from coordinator.audit.entry import GENESIS, seal
from coordinator.services.access_events import AccessEvents
from coordinator.services.access_people import AccessPeople
from coordinator.webhooks.events import AccessEvent
from tests.coordinator.services.test_access import ACTOR, LAPTOP, LEAD, Bench, make_bench, policy


async def told(bench: Bench) -> list[AccessEvent]:
    people = AccessPeople(bench.tailnet, bench.access)
    events = AccessEvents(bench.tailnet, bench.access, people)
    entries = [entry for commit in bench.store.commits for entry in commit.audit]
    described = [await events.describe(entry) for entry in seal(entries, 0, GENESIS)]
    return [event for event in described if event is not None]


async def test_the_steps_of_a_request() -> None:
    bench = await make_bench()
    request = await bench.ask(node_id=LAPTOP)
    (asked,) = await told(bench)
    assert (asked.name, asked.user, asked.machine, asked.by) == ("requested", "user1", "node1", "socket:test")
    assert (asked.open_question, asked.approvers, asked.approvals_needed) == (True, ("user2", "user3"), 1)
    await bench.approve(request)
    await bench.access.revoke(request.id, by=LEAD, actor=ACTOR)
    asked, opened, ended = await told(bench)
    assert not asked.open_question, "the question of before was answered meanwhile"
    assert [(event.name, event.by) for event in (opened, ended)] == [("opened", "user2"), ("ended", "user2")]
    denied = await bench.ask()
    await bench.access.deny(denied.id, by=LEAD, actor=ACTOR)
    assert (await told(bench))[-1].name == "denied"
    await bench.tailnet.close()


async def test_what_opens_at_once_is_told_once() -> None:
    bench = await make_bench()
    await bench.policy.set(_open_policy(), actor=ACTOR)
    await bench.ask()
    assert [event.name for event in await told(bench)] == ["opened"]
    await bench.policy.set(_open_policy(breakGlass=["group:ops"]), actor=ACTOR)
    await bench.ask(break_glass=True)
    assert [event.name for event in await told(bench)] == ["opened", "break-glass"]
    await bench.policy.set('{"acls": []}', actor=ACTOR)
    assert (await told(bench))[0].approvals_needed == 0
    await bench.tailnet.close()


def _open_policy(**changes: Any) -> str:
    document = json.loads(policy(**changes))
    profile = document["access"]["profiles"]["mgmt"]
    del profile["approvers"], profile["approvals"]
    return json.dumps(document)
