"""Whatever is asked, answered and taken back, in whatever order: open is what the oracle says, and no more.

Random histories drive the real services on a real SQLite file: requests, approvals, denials, extensions,
ends, broken glass, incidents, a clock that runs and jumps back, edits of the policy, people suspended,
machines that come, change and go, restarts. After every step who sees whom, every filter, every login and
what connected clients were told equal the oracle's answer, and each verb was refused exactly when the oracle
says so.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from coordinator.netmap.builder import full_map
from coordinator.netmap.delta import SessionLostError, next_message
from coordinator.netmap.session import SessionState
from coordinator.services.access import AccessService
from coordinator.services.access_rules import Asked as Asking
from coordinator.services.incidents import IncidentService
from coordinator.services.policy import PolicyService
from coordinator.services.tailnet import Tailnet
from coordinator.services.users import UserService
from coordinator.store.engine import sqlite_url
from coordinator.store.store import Store
from coordinator.tailcfg.framing import frame
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.bits import indices
from coordinator.tailnet.errors import (
    ConflictError,
    CoordinatorError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from coordinator.tailnet.nodes import NodeID
from coordinator.tailnet.users import User, UserID
from tests.scenarios.access_oracle import Asked, Machine, Oracle, Profile
from tests.support.builders import FakeClock, make_node
from tests.support.tailnets import ClientModel, decode_message, make_world

ACTOR = Actor(kind="socket", name="test")
MONDAY = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
LONG_AGO = MONDAY - timedelta(days=365)
REFUSALS = (ConflictError, ForbiddenError, InvalidError, NotFoundError)
PEOPLE = (1, 2, 3, 4)
NAMES = ("mgmt", "net", "gone")
STEPS = 500
SEEDS = range(1, 9)


def random_profile(rng: random.Random) -> Profile:
    people = lambda: {each for each in PEOPLE if rng.random() < 0.6}  # noqa: E731
    return Profile(
        src=people() or {1},
        tag=rng.choice(["tag:mgmt", "tag:db"]),
        ports=rng.choice([(22,), (22, 443), (443,)]),
        approvers=people() if rng.random() < 0.8 else set(),
        approvals=rng.choice([1, 1, 2]),
        break_glass=people(),
        longest=timedelta(hours=rng.choice([1, 2, 4])),
        max_active=rng.choice([2, 99, 99]),
        managed=rng.random() < 0.2,
        hours=rng.choice([None, None, (8, 18)]),
        ssh=rng.random() < 0.5,
    )


def written(profiles: dict[str, Profile]) -> str:
    """The profiles as a policy."""

    def logins(people: set[int]) -> list[str]:
        return [f"user{each}@" for each in sorted(people)]

    section = {}
    for name, each in profiles.items():
        fields: dict[str, Any] = {
            "src": [f"group:{name}"],
            "dst": [f"{each.tag}:{','.join(map(str, each.ports))}"],
            "maxDuration": f"{int(each.longest.total_seconds())}s",
            "defaultDuration": "1h",
            "maxActive": each.max_active,
            "breakGlass": logins(each.break_glass),
        }
        if each.approvers:
            fields |= {"approvers": logins(each.approvers), "approvals": each.approvals}
        if each.managed:
            fields["srcPosture"] = ["posture:managed"]
        if each.hours:
            fields["hours"] = f"Mon-Fri {each.hours[0]:02}:00-{each.hours[1]:02}:00 UTC"
        if each.ssh:
            fields["ssh"] = {"users": ["root"]}
        section[name] = fields
    document = {
        "groups": {f"group:{name}": logins(each.src) for name, each in profiles.items()},
        "tagOwners": {"tag:mgmt": [], "tag:db": []},
        "postures": {"posture:managed": ["custom:managed == true"]},
        "acls": [],
        "access": {"profiles": section},
    }
    return json.dumps(document)


@dataclass
class Client:
    """An open map stream: what the server remembers of it, and what the client made of it."""

    state: SessionState
    model: ClientModel


class World:
    """The server, its clients, the oracle, and the dice."""

    def __init__(self, seed: int, path: Path) -> None:
        self.rng = random.Random(seed)
        self.path = path
        self.clock = FakeClock(MONDAY)
        self.oracle = Oracle()
        self.clients: dict[int, Client] = {}
        self.done: dict[str, int] = {}
        self.refused = 0

    async def begin(self) -> None:
        await self.start()
        for _ in PEOPLE:
            await self.users.create(f"user{len(self.tailnet.snapshot.users) + 1}", actor=ACTOR)
        for number, tag in enumerate(("", "", "", "", "", "tag:mgmt", "tag:db", "tag:mgmt"), start=1):
            await self.put(number, Machine(owner=1 + number % len(PEOPLE), tag=tag, managed=number % 2 == 0))
        await self.edit_policy()

    async def start(self) -> None:
        self.store = await Store.open(sqlite_url(self.path))
        state = await self.store.load()
        self.tailnet = Tailnet(self.store, state, make_world(state), self.clock)
        self.policy = PolicyService(
            self.tailnet,
            path=None,
            database_mode=True,
            stored=state.policy,
            versions=self.store.policies,
        )
        self.policy.load()
        self.access = AccessService(self.tailnet, self.policy, state.access.values())
        self.incidents = IncidentService(self.tailnet, self.access)
        self.users = UserService(self.tailnet)
        self.access.windows.refresh()
        self.tailnet.start()
        self.clients.clear()
        for number in self.oracle.machines:
            self.connect(number)

    async def stop(self) -> None:
        await self.tailnet.close()
        await self.policy.close()
        await self.store.close()

    # what clients hear

    def connect(self, number: int) -> None:
        record = self.tailnet.snapshot.record(NodeID(number))
        assert record is not None
        frames, state = full_map(self.tailnet.world, record, pinning=True, now=self.clock())
        client = self.clients[number] = Client(state, ClientModel())
        client.model.apply(decode_message(frame(frames)))

    def hear(self) -> None:
        for number in list(self.clients):
            client = self.clients[number]
            try:
                document, client.state = next_message(self.tailnet.world, client.state)
            except SessionLostError:
                del self.clients[number]
                if number in self.oracle.machines:
                    self.connect(number)
                continue
            if document is not None:
                client.model.apply(decode_message(document))

    # the steps

    def now(self) -> datetime:
        return self.clock()

    def person(self) -> int:
        return self.rng.choice(PEOPLE)

    def decider(self, asked: Asked) -> int | None:
        """Mostly somebody who may."""
        fit = [each for each in (None, *PEOPLE) if self.oracle.may_decide(asked, each)]
        return self.rng.choice(fit if fit and self.rng.random() < 0.7 else [None, *PEOPLE])

    def user(self, number: int | None) -> User | None:
        return None if number is None else self.tailnet.snapshot.users[UserID(number)]

    def pick(self) -> tuple[int, Asked] | None:
        """A request, the newer the likelier."""
        if not self.oracle.asked:
            return None
        newest = sorted(self.oracle.asked)[-6:]
        number = self.rng.choice(newest)
        return number, self.oracle.asked[number]

    async def attempt(self, verb: Awaitable[Any], *, allowed: bool) -> Any:
        """Do what is refused exactly when the oracle says so."""
        try:
            answer = await verb
        except REFUSALS as error:
            assert not allowed, f"refused although it may be: {error.message}"
            self.refused += 1
            return None
        assert allowed, "done although it may not be"
        return answer

    async def ask(self) -> None:
        person = self.person()
        own = [n for n, m in self.oracle.machines.items() if m.owner == person and not m.tag]
        anywhere = self.rng.choice([*self.oracle.machines]) if self.oracle.machines else 999
        asked = Asked(
            profile=self.rng.choice(NAMES),
            user=person,
            node=self.rng.choice([None, *own, *own, anywhere]),
            duration=timedelta(minutes=self.rng.choice([10, 45, 60, 60, 120, 240])),
            answer_by=self.now() + timedelta(hours=1),
            break_glass=self.rng.random() < 0.2,
        )
        allowed = self.oracle.may_ask(asked, self.now())
        user = self.user(person)
        assert user is not None
        asking = Asking(
            profile=asked.profile,
            user=user,
            node_id=asked.node,
            duration=asked.duration,
            break_glass=asked.break_glass,
        )
        made = await self.attempt(self.access.request(asking, actor=ACTOR), allowed=allowed)
        if made is not None:
            if asked.break_glass or not self.oracle.profiles[asked.profile].needed:
                asked.opens, asked.closes = self.now(), self.now() + asked.duration
            self.oracle.asked[made.id] = asked

    async def approve(self) -> None:
        picked = self.pick()
        if picked is None:
            return
        number, asked = picked
        by = self.decider(asked)
        allowed = self.oracle.may_approve(asked, by, self.now())
        verb = self.access.approve(number, by=self.user(by), actor=ACTOR)
        if await self.attempt(verb, allowed=allowed) is not None:
            asked.approved_by.add(str(by))
            if len(asked.approved_by) >= self.oracle.profiles[asked.profile].needed:
                asked.opens, asked.closes = self.now(), self.now() + asked.duration

    async def deny(self) -> None:
        picked = self.pick()
        if picked is None:
            return
        number, asked = picked
        by = self.decider(asked)
        own = by is None or by == asked.user
        allowed = asked.waits(self.now()) and (own or self.oracle.may_decide(asked, by))
        verb = self.access.deny(number, by=self.user(by), actor=ACTOR)
        if await self.attempt(verb, allowed=allowed) is not None:
            asked.over = True

    async def extend(self) -> None:
        picked = self.pick()
        if picked is None:
            return
        number, asked = picked
        by = self.decider(asked)
        more = timedelta(minutes=self.rng.choice([5, 30, 120]))
        allowed = self.oracle.may_extend(asked, by, more, self.now())
        verb = self.access.extend(number, more, by=self.user(by), actor=ACTOR)
        if await self.attempt(verb, allowed=allowed) is not None:
            assert asked.closes is not None
            asked.closes += more

    async def end(self) -> None:
        picked = self.pick()
        if picked is None:
            return
        number, asked = picked
        by = self.rng.choice([asked.user, self.decider(asked)])
        allowed = self.oracle.may_end(asked, by, self.now())
        verb = self.access.revoke(number, by=self.user(by), actor=ACTOR)
        if await self.attempt(verb, allowed=allowed) is not None:
            asked.over = True

    async def open_incident(self) -> None:
        name, profile = self.rng.choice(["fire", "flood"]), self.rng.choice(NAMES)
        team = sorted({self.person(), self.person()})
        duration = timedelta(hours=self.rng.choice([1, 6]))
        running = any(
            each.incident == name and each.granted(self.now()) and each.opens and each.opens <= self.now()
            for each in self.oracle.asked.values()
        )
        allowed = not running and profile in self.oracle.profiles and not self.oracle.suspended & set(team)
        people = [self.tailnet.snapshot.users[UserID(each)] for each in team]
        verb = self.incidents.open(name, [profile], people, duration, actor=ACTOR)
        for made in await self.attempt(verb, allowed=allowed) or ():
            self.oracle.asked[made.id] = Asked(
                profile=profile,
                user=made.user_id,
                node=None,
                duration=duration,
                answer_by=self.now(),
                incident=name,
                opens=self.now(),
                closes=self.now() + duration,
            )

    async def close_incident(self) -> None:
        name = self.rng.choice(["fire", "flood"])
        found = [each for each in self.oracle.asked.values() if each.incident == name]
        if await self.attempt(self.incidents.close(name, actor=ACTOR), allowed=bool(found)) is not None:
            for each in found:
                each.over = True

    async def edit_policy(self) -> None:
        profiles = copy.deepcopy(self.oracle.profiles)
        for name in NAMES[:2]:
            if self.rng.random() < 0.5 or not profiles:
                profiles[name] = random_profile(self.rng)
            elif self.rng.random() < 0.15:
                profiles.pop(name, None)
        await self.policy.set(written(profiles), actor=ACTOR)
        self.oracle.profiles = profiles

    async def put(self, number: int, machine: Machine) -> None:
        """A machine as the oracle knows it, put in its place in the tailnet."""
        node = make_node(
            number,
            user_id=UserID(machine.owner),
            tags=(machine.tag,) if machine.tag else (),
            attributes={"custom:managed": machine.managed},
            expiry=LONG_AGO if machine.expired else None,
        )
        await self.tailnet.execute(lambda directory: directory.put_node(node))
        self.oracle.machines[number] = machine
        if number not in self.clients:
            self.connect(number)

    async def change_machine(self) -> None:
        number = self.rng.randrange(1, 11)
        machine = self.oracle.machines.get(number)
        if machine is None:
            tag = self.rng.choice(["", "", "tag:mgmt", "tag:db"])
            await self.put(number, Machine(owner=self.person(), tag=tag))
        elif self.rng.random() < 0.15:
            await self.tailnet.execute(lambda directory: directory.delete_node(NodeID(number)))
            del self.oracle.machines[number]
        else:
            changes: list[dict[str, Any]] = [
                {"managed": not machine.managed},
                {"owner": self.person()},
                {"tag": self.rng.choice(["", "tag:mgmt", "tag:db"])},
                {"expired": not machine.expired},
                *([{"expired": False}] * 9 if machine.expired else []),
            ]
            await self.put(number, replace(machine, **self.rng.choice(changes)))

    async def suspend(self) -> None:
        person = self.person()
        if self.oracle.suspended and self.rng.random() < 0.8:
            person = min(self.oracle.suspended)
        if person in self.oracle.suspended:
            await self.users.restore(person, actor=ACTOR)
            self.oracle.suspended.discard(person)
            return
        await self.users.suspend(person, actor=ACTOR)
        self.oracle.suspended.add(person)
        for number, machine in list(self.oracle.machines.items()):
            if machine.owner == person and not machine.tag:
                # Expired for good, wherever the clock goes.
                await self.put(number, replace(machine, expired=True))

    async def wait(self) -> None:
        self.clock.forward(minutes=self.rng.choice([1, 1, 10, 10, 30, 60, 200, 900]))

    async def jump_back(self) -> None:
        self.clock.forward(minutes=-self.rng.choice([5, 30, 120]))

    async def restart(self) -> None:
        await self.stop()
        await self.wait()
        await self.start()
        self.check()

    async def step(self) -> None:
        steps = {
            self.ask: 8,
            self.approve: 10,
            self.deny: 1,
            self.extend: 3,
            self.end: 3,
            self.open_incident: 1,
            self.close_incident: 1,
            self.edit_policy: 2,
            self.change_machine: 4,
            self.suspend: 1,
            self.wait: 4,
            self.jump_back: 1,
            self.restart: 0.3,
        }
        chosen = self.rng.choices(list(steps), list(steps.values()))[0]
        self.done[chosen.__name__] = self.done.get(chosen.__name__, 0) + 1
        await chosen()
        await self.access.windows.tick()
        self.oracle.settle(self.now())
        self.check()

    # what has to hold

    def check(self) -> None:
        now, world = self.now(), self.tailnet.world
        for number, asked in self.oracle.asked.items():
            active = self.access.state(self.access.get(number)) == "active"
            assert active == self.oracle.open_at(asked, now), f"request {number} at {now}"
        reach, logins = self.oracle.reach(now), self.oracle.logins(now)
        self.hear()
        for number, machine in self.oracle.machines.items():
            record = self.tailnet.snapshot.record(NodeID(number))
            assert record is not None
            told = set() if machine.expired else {(a, b, port) for a, b, port in reach if number in (a, b)}
            seen = {world.snapshot.records[index].node.id for index in indices(world.visible(record))}
            expected = {other for a, b, _ in told for other in (a, b)} - {number}
            assert seen == expected, f"node {number} sees {seen}, not {expected}"
            assert set(self.clients[number].model.peers) == expected
            assert self.admitted(number) == {(a, port) for a, b, port in told if b == number}
            assert self.principals(number) == {a for a, b in logins if b == number}

    def admitted(self, number: int) -> set[tuple[int, int]]:
        """(source, port) as the client's filter has it."""
        numbers = {
            str(address): record.node.id
            for record in self.tailnet.snapshot.records.values()
            for address in record.node.addresses
        }
        filters = self.clients[number].model.filters or ()
        return {
            (numbers[source], port["Ports"]["First"])
            for each in filters
            for source in each["SrcIPs"]
            for port in each["DstPorts"]
        }

    def principals(self, number: int) -> set[int]:
        found = set()
        for rule in self.tailnet.world.policy.ssh_rules(number):
            assert rule.expires is not None
            assert rule.expires > self.now()
            for record in self.tailnet.snapshot.records.values():
                if str(record.node.ipv4) in rule.principals:
                    found.add(int(record.node.id))
        return found


@pytest.mark.parametrize("seed", SEEDS)
async def test_open_is_what_the_oracle_says(seed: int, tmp_path: Path) -> None:
    world = World(seed, tmp_path / "db.sqlite")
    await world.begin()
    opened = 0
    try:
        for number in range(STEPS):
            try:
                await world.step()
            except (AssertionError, CoordinatorError) as error:
                raise AssertionError(f"seed {seed}, step {number}: {error}") from error
            opened += bool(world.oracle.reach(world.now()))
    finally:
        await world.stop()
    print(f"seed {seed}: {world.done}, {world.refused} refused, something open in {opened} of {STEPS} steps")
    assert opened > STEPS // 20, "the dice opened next to nothing: the test says little"
