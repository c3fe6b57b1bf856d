"""Just-in-time access: who may ask, who may decide, and what is open when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coordinator.services.access import AccessService
from coordinator.services.access_rules import Asked
from coordinator.services.incidents import IncidentService
from coordinator.services.policy import PolicyService
from coordinator.services.tailnet import Tailnet
from coordinator.services.users import UserService
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ConflictError, CoordinatorError, ForbiddenError, InvalidError
from coordinator.tailnet.nodes import NodeID
from coordinator.tailnet.state import ChangeSet, StoredPolicy, TailnetState
from coordinator.tailnet.users import User
from tests.support.builders import FakeClock, make_node, make_user
from tests.support.tailnets import MemoryStore, make_tailnet

ACTOR = Actor(kind="socket", name="test")
MONDAY = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
OPS, LEAD, OTHER_LEAD, GUEST = (make_user(number) for number in (1, 2, 3, 4))
LAPTOP, PHONE, SERVER, THEIRS = 1, 2, 3, 4


def policy(**changes: Any) -> str:
    profile: dict[str, Any] = {
        "src": ["group:ops"],
        "dst": ["tag:mgmt:22"],
        "defaultDuration": "90m",
        "maxDuration": "4h",
        "approvers": ["group:leads"],
        "approvals": 1,
        "reason": "required",
        "ticket": "^OPS-[0-9]+$",
        "breakGlass": ["group:leads"],
    }
    document = {
        "groups": {"group:ops": ["user1@"], "group:leads": ["user2@", "user3@"]},
        "tagOwners": {"tag:mgmt": []},
        "postures": {"posture:managed": ["custom:managed == true"]},
        "acls": [],
        "access": {"profiles": {"mgmt": {**profile, **changes}}},
    }
    return json.dumps(document)


@dataclass
class Bench:
    """Four people, four machines, and the service."""

    tailnet: Tailnet
    policy: PolicyService
    access: AccessService
    store: MemoryStore
    clock: FakeClock

    async def ask(self, user: User = OPS, **changes: Any) -> AccessRequest:
        given = {"reason": "disk full", "ticket": "OPS-7", **changes}
        return await self.access.request(Asked(profile="mgmt", user=user, **given), actor=ACTOR)

    async def approve(self, request: AccessRequest, by: User | None = LEAD) -> AccessRequest:
        return await self.access.approve(request.id, by=by, actor=ACTOR)

    def sees(self, one: int, other: int) -> bool:
        world = self.tailnet.world
        there = bool(world.policy.peers(one) >> world.snapshot.index_of[NodeID(other)] & 1)
        back = bool(world.policy.peers(other) >> world.snapshot.index_of[NodeID(one)] & 1)
        assert there == back
        return there


def state() -> TailnetState:
    users = {user.id: user for user in (OPS, LEAD, OTHER_LEAD, GUEST)}
    nodes = [
        make_node(LAPTOP),
        make_node(PHONE),
        make_node(SERVER, tags=("tag:mgmt",)),
        make_node(THEIRS, user_id=GUEST.id),
    ]
    return TailnetState(users=users, nodes={node.id: node for node in nodes}, counters={"nodes": 4})


async def no_versions(limit: int) -> list[StoredPolicy]:
    return []


async def make_bench(**changes: Any) -> Bench:
    clock = FakeClock(MONDAY)
    tailnet, store, _ = make_tailnet(state(), policy=None, clock=clock)
    service = PolicyService(tailnet, path=None, database_mode=True, stored=None, versions=no_versions)
    access = AccessService(tailnet, service, ())
    tailnet.start()
    await service.set(policy(**changes), actor=ACTOR)
    return Bench(tailnet, service, access, store, clock)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = await make_bench()
    yield made
    await made.tailnet.close()


async def test_nothing_before_everything_during_nothing_after(bench: Bench) -> None:
    request = await bench.ask()
    assert bench.access.state(request) == "requested"
    assert not bench.sees(LAPTOP, SERVER)
    request = await bench.approve(request)
    assert bench.access.state(request) == "active"
    assert bench.sees(LAPTOP, SERVER)
    assert bench.sees(PHONE, SERVER)
    assert not bench.sees(THEIRS, SERVER)
    bench.clock.forward(minutes=90)
    await bench.access.windows.tick()
    assert not bench.sees(LAPTOP, SERVER)
    ended = bench.access.get(request.id)
    assert (bench.access.state(ended), ended.end_reason, ended.ended_at) == (
        "ended", "expired", MONDAY + timedelta(minutes=90)
    )  # fmt: skip
    actions = [entry.action for commit in bench.store.commits for entry in commit.audit]
    assert actions[-4:] == ["access.request", "access.approve", "access.open", "access.close"]


async def test_one_machine_only(bench: Bench) -> None:
    await bench.approve(await bench.ask(node_id=LAPTOP))
    assert (bench.sees(LAPTOP, SERVER), bench.sees(PHONE, SERVER)) == (True, False)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"user": GUEST}, ForbiddenError, "may not ask for `mgmt`"),
        ({"node_id": THEIRS}, ForbiddenError, "does not belong to"),
        ({"node_id": SERVER}, ForbiddenError, "does not belong to"),
        ({"reason": " "}, InvalidError, "needs a reason"),
        ({"ticket": "OPS-x"}, InvalidError, "needs a ticket"),
        ({"duration": timedelta(hours=5)}, InvalidError, "4:00:00 at most"),
        ({"duration": timedelta(0)}, InvalidError, "positive"),
        ({"break_glass": True}, ForbiddenError, "may not break the glass"),
    ],
)
async def test_who_may_not_ask_leaves_nothing(
    bench: Bench, changes: dict[str, Any], error: type[CoordinatorError], words: str
) -> None:
    with pytest.raises(error, match=words):
        await bench.ask(**changes)
    assert bench.access.newest_first() == []


async def test_who_may_not_decide(bench: Bench) -> None:
    request = await bench.ask()
    for person in (OPS, GUEST):
        with pytest.raises(ForbiddenError):
            await bench.approve(request, person)
    assert not bench.sees(LAPTOP, SERVER)
    await bench.access.deny(request.id, by=LEAD, actor=ACTOR)
    with pytest.raises(ConflictError, match="it is denied"):
        await bench.approve(request)


async def test_two_approvals_of_two_people() -> None:
    bench = await make_bench(approvals=2)
    request = await bench.approve(await bench.ask())
    assert bench.access.state(request) == "requested"
    with pytest.raises(ConflictError, match="somebody else"):
        await bench.approve(request)
    assert bench.access.state(await bench.approve(request, OTHER_LEAD)) == "active"
    await bench.tailnet.close()


async def test_a_request_nobody_answers(bench: Bench) -> None:
    request = await bench.ask()
    bench.clock.forward(hours=1)
    assert bench.access.state(request) == "unanswered"
    with pytest.raises(ConflictError, match="nobody answered"):
        await bench.approve(request)
    await bench.access.windows.tick()
    assert bench.access.state(bench.access.get(request.id)) == "unanswered"


async def test_extend_revoke_and_give_back(bench: Bench) -> None:
    first = await bench.approve(await bench.ask())
    await bench.access.extend(first.id, timedelta(hours=2), by=LEAD, actor=ACTOR)
    with pytest.raises(InvalidError, match="maxDuration"):
        await bench.access.extend(first.id, timedelta(hours=1), by=LEAD, actor=ACTOR)
    bench.clock.forward(hours=3)
    await bench.access.windows.tick()
    assert bench.sees(LAPTOP, SERVER)
    revoked = await bench.access.revoke(first.id, by=LEAD, actor=ACTOR)
    assert revoked.end_reason == "revoked"
    assert not bench.sees(LAPTOP, SERVER)
    second = await bench.approve(await bench.ask())
    given_back = await bench.access.revoke(second.id, by=OPS, actor=ACTOR)
    assert given_back.end_reason == "given back"
    assert not bench.sees(LAPTOP, SERVER)


async def test_overlapping_windows_each_count(bench: Bench) -> None:
    first, second = [await bench.approve(await bench.ask(node_id=LAPTOP)) for _ in range(2)]
    await bench.access.revoke(first.id, by=LEAD, actor=ACTOR)
    assert bench.sees(LAPTOP, SERVER)
    await bench.access.revoke(second.id, by=LEAD, actor=ACTOR)
    assert not bench.sees(LAPTOP, SERVER)


@pytest.mark.parametrize("shut_out", ["suspend", "delete"])
async def test_a_window_ends_with_its_person(bench: Bench, shut_out: str) -> None:
    """And takes no other window along, whatever is no longer known of the person."""
    lead_laptop = make_node(9, user_id=LEAD.id)
    await bench.tailnet.execute(lambda directory: directory.put_node(lead_laptop))
    theirs = await bench.access.request(
        Asked(profile="mgmt", user=LEAD, reason="fire", ticket="OPS-1", break_glass=True), actor=ACTOR
    )
    request = await bench.approve(await bench.ask(), OTHER_LEAD)
    users = UserService(bench.tailnet)
    if shut_out == "suspend":
        await users.suspend(OPS.id, actor=ACTOR)
    else:
        await users.delete(OPS.id, with_nodes=True, actor=ACTOR)
    await bench.access.windows.tick()
    assert bench.access.get(request.id).end_reason == "policy"
    assert bench.access.state(bench.access.get(theirs.id)) == "active"
    entry = [each for commit in bench.store.commits for each in commit.audit][-1]
    assert (entry.action, entry.after["user"]) == (
        "access.close", OPS.login if shut_out == "suspend" else "user 1"
    )  # fmt: skip


async def test_hours_and_room() -> None:
    bench = await make_bench(hours="Mon-Fri 09:00-11:00 UTC", maxActive=1)
    await bench.approve(await bench.ask())
    waiting = await bench.ask()
    with pytest.raises(ConflictError, match="open 1 times already"):
        await bench.approve(waiting)
    bench.clock.forward(hours=1)
    await bench.access.windows.tick()
    assert not bench.sees(LAPTOP, SERVER), "the hours are over before the window is"
    with pytest.raises(ForbiddenError, match="opens only"):
        await bench.ask()
    await bench.tailnet.close()


async def test_posture_is_asked_for_and_kept_watch_on() -> None:
    bench = await make_bench(srcPosture=["posture:managed"])
    with pytest.raises(ForbiddenError, match="posture:managed"):
        await bench.ask()
    managed = make_node(LAPTOP, attributes={"custom:managed": True})
    await bench.tailnet.execute(lambda directory: directory.put_node(managed))
    await bench.approve(await bench.ask())
    assert (bench.sees(LAPTOP, SERVER), bench.sees(PHONE, SERVER)) == (True, False)
    await bench.tailnet.execute(lambda directory: directory.put_node(make_node(LAPTOP)))
    assert not bench.sees(LAPTOP, SERVER)
    await bench.tailnet.close()


async def test_a_policy_edit_narrows_and_ends_windows(bench: Bench) -> None:
    request = await bench.approve(await bench.ask())
    await bench.policy.set(policy(dst=["192.0.2.1:22"]), actor=ACTOR)
    assert not bench.sees(LAPTOP, SERVER)
    await bench.policy.set(policy(), actor=ACTOR)
    assert bench.sees(LAPTOP, SERVER)
    await bench.policy.set('{"acls": []}', actor=ACTOR)
    await bench.access.windows.tick()
    assert bench.access.get(request.id).end_reason == "policy"
    assert not bench.sees(LAPTOP, SERVER)


async def test_an_end_that_was_recorded_holds_when_the_clock_is_put_back(bench: Bench) -> None:
    request = await bench.approve(await bench.ask())
    await bench.access.revoke(request.id, by=LEAD, actor=ACTOR)
    bench.clock.forward(minutes=-10)
    await bench.access.windows.tick()
    assert not bench.sees(LAPTOP, SERVER)
    assert bench.access.state(bench.access.get(request.id)) == "ended"


@pytest.mark.parametrize(
    "changes",
    [{"src": ["user4@"]}, {"maxDuration": "10m", "defaultDuration": "10m"}, {"group": []}],
)
async def test_a_window_does_not_outlive_the_right_to_it(bench: Bench, changes: dict[str, Any]) -> None:
    request = await bench.approve(await bench.ask())
    bench.clock.forward(minutes=20)
    text = policy(**{name: value for name, value in changes.items() if name != "group"})
    if "group" in changes:
        text = text.replace('"group:ops": ["user1@"]', '"group:ops": []')
    await bench.policy.set(text, actor=ACTOR)
    await bench.access.windows.tick()
    assert not bench.sees(LAPTOP, SERVER)
    assert bench.access.get(request.id).end_reason == "policy"


async def test_break_glass_opens_at_once_and_wants_a_review(bench: Bench) -> None:
    lead_laptop = make_node(9, user_id=LEAD.id)
    await bench.tailnet.execute(lambda directory: directory.put_node(lead_laptop))
    request = await bench.ask(LEAD, break_glass=True)
    assert bench.access.state(request) == "active"
    assert bench.sees(9, SERVER)
    with pytest.raises(ForbiddenError, match="somebody else"):
        await bench.access.review(request.id, by=LEAD, note="", actor=ACTOR)
    reviewed = await bench.access.review(request.id, by=OTHER_LEAD, note="fine", actor=ACTOR)
    assert reviewed.reviewed_by == OTHER_LEAD.login


async def test_an_incident_opens_for_a_team_and_closes_for_all(bench: Bench) -> None:
    incidents = IncidentService(bench.tailnet, bench.access)
    opened = await incidents.open(
        "fire", ["mgmt"], [OPS, GUEST], timedelta(hours=4), commander=LEAD, actor=ACTOR
    )
    assert bench.sees(LAPTOP, SERVER)
    assert bench.sees(THEIRS, SERVER)
    with pytest.raises(ConflictError, match="is open already"):
        await incidents.open("fire", ["mgmt"], [OPS], timedelta(hours=1), actor=ACTOR)
    ended = await incidents.close("fire", actor=ACTOR)
    assert {each.end_reason for each in ended} == {"incident closed"}
    assert len(ended) == len(opened) == 2
    assert not bench.sees(LAPTOP, SERVER)
    with pytest.raises(InvalidError):
        await incidents.open("", ["mgmt"], [OPS], timedelta(hours=1), actor=ACTOR)


async def test_a_restart_during_and_after_a_window(bench: Bench) -> None:
    request = await bench.approve(await bench.ask())
    for hours, open_now in ((1, True), (2, False)):
        clock = FakeClock(MONDAY + timedelta(hours=hours))
        tailnet, _, _ = make_tailnet(state(), policy=None, clock=clock)
        service = PolicyService(
            tailnet,
            path=None,
            database_mode=True,
            stored=StoredPolicy(id=1, text=policy(), created_at=MONDAY),
            versions=no_versions,
        )
        service.load()
        AccessService(tailnet, service, [request]).windows.refresh()
        assert bool(tailnet.world.policy.peers(LAPTOP)) is open_now


async def two_instances(stack: AsyncExitStack, **changes: Any) -> tuple[Bench, Bench]:
    """Of one tailnet; nothing but the next command tells one what the other stored."""
    store, clock, benches = MemoryStore(), FakeClock(MONDAY), []
    begun = state()
    store.commits.append(
        ChangeSet(put_users=dict(begun.users), put_nodes=dict(begun.nodes), counters=dict(begun.counters))
    )
    for _ in range(2):
        tailnet, _, _ = make_tailnet(policy=None, clock=clock, store=store)
        stored = StoredPolicy(id=1, text=policy(**changes), created_at=MONDAY)
        service = PolicyService(tailnet, path=None, database_mode=True, stored=stored, versions=no_versions)
        service.load()
        tailnet.start()
        stack.push_async_callback(tailnet.close)
        benches.append(Bench(tailnet, service, AccessService(tailnet, service, ()), store, clock))
    return benches[0], benches[1]


async def test_asked_at_one_instance_approved_at_another() -> None:
    async with AsyncExitStack() as stack:
        one, two = await two_instances(stack)
        request = await one.ask()
        await two.tailnet.catch_up()
        await two.approve(request)
        assert two.sees(LAPTOP, SERVER)
        assert not one.sees(LAPTOP, SERVER)
        await one.tailnet.catch_up()
        assert one.sees(LAPTOP, SERVER)
        await one.access.revoke(request.id, by=OPS, actor=ACTOR)
        await two.tailnet.catch_up()
        assert not two.sees(LAPTOP, SERVER)


async def test_a_request_is_decided_once_however_instances_race() -> None:
    async with AsyncExitStack() as stack:
        one, two = await two_instances(stack)
        request = await one.ask()
        await two.tailnet.catch_up()
        done = await asyncio.gather(
            one.approve(request), two.access.deny(request.id, by=LEAD, actor=ACTOR), return_exceptions=True
        )
        assert sorted(type(each).__name__ for each in done) == ["AccessRequest", "ConflictError"]
        for bench in (one, two):
            await bench.tailnet.catch_up()
        assert one.access.requests == two.access.requests
        assert one.sees(LAPTOP, SERVER) == two.sees(LAPTOP, SERVER)


@pytest.mark.parametrize("at_once", [True, False])
async def test_no_more_windows_open_than_allowed_however_instances_race(at_once: bool) -> None:
    async with AsyncExitStack() as stack:
        one, two = await two_instances(stack, maxActive=1, breakGlass=["group:ops"])
        if at_once:
            opening = [bench.ask(reason=str(n), break_glass=True) for n in range(3) for bench in (one, two)]
        else:
            requests = [await one.ask(reason=str(n)) for n in range(4)]
            await two.tailnet.catch_up()
            opening = [bench.approve(each) for each in requests for bench in (one, two)]
        done = await asyncio.gather(*opening, return_exceptions=True)
        assert [type(each) for each in done].count(AccessRequest) == 1, done
        for bench in (one, two):
            await bench.tailnet.catch_up()
            states = [bench.access.state(each) for each in bench.access.newest_first()]
            assert states.count("active") == 1


async def test_an_incident_is_opened_once_however_instances_race() -> None:
    async with AsyncExitStack() as stack:
        one, two = await two_instances(stack)
        opening = [
            IncidentService(bench.tailnet, bench.access).open(
                "fire", ["mgmt"], [OPS], timedelta(hours=1), actor=ACTOR
            )
            for bench in (one, two, one)
        ]
        done = await asyncio.gather(*opening, return_exceptions=True)
        assert [type(each) for each in done].count(ConflictError) == 2
        await IncidentService(two.tailnet, two.access).close("fire", actor=ACTOR)
        await one.tailnet.catch_up()
        assert one.access.requests == two.access.requests
        assert not one.sees(LAPTOP, SERVER)
