"""A machine waits at one instance, the person comes to another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest

from coordinator.services import waiting as services_waiting
from coordinator.services.login import PendingLogins
from coordinator.services.ssh_checks import SSHAttempt, SSHChecks
from coordinator.services.waiting import SharedWaiting
from coordinator.tailcfg.register import RegisterRequest
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import NotFoundError
from coordinator.tailnet.instances import Waiting
from coordinator.tailnet.state import ChangeSet
from tests.support.boards import MemoryBoard
from tests.support.builders import NOW, FakeClock, machine_key, make_node, make_user, node_key
from tests.support.tailnets import MemoryStore, make_tailnet

POLICY = """{"acls": [], "ssh": [{"action": "check", "src": ["user1@"], "dst": ["autogroup:self"],
  "users": ["root"]}]}"""
ACTOR = Actor(kind="socket", name="test")


@dataclass
class One:
    logins: PendingLogins
    checks: SSHChecks
    shared: SharedWaiting


@dataclass
class Crowd:
    board: MemoryBoard
    clock: FakeClock
    all: list[One] = field(default_factory=list)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(2):
            while not true():
                for one in self.all:
                    one.shared.nudge()
                await asyncio.sleep(0.002)


@pytest.fixture
async def crowd(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crowd]:
    monkeypatch.setattr(services_waiting, "RETRY_SECONDS", 0.005)
    store, user = MemoryStore(), make_user(1)
    nodes = {node.id: node for node in (make_node(1), make_node(2))}
    store.commits.append(ChangeSet(put_users={user.id: user}, put_nodes=nodes))
    made = Crowd(MemoryBoard(), FakeClock())
    async with AsyncExitStack() as stack:
        for letter in "ab":
            tailnet, _, _ = make_tailnet(store=store, policy=POLICY, clock=made.clock)
            tailnet.start()
            stack.push_async_callback(tailnet.close)
            numbers = iter(range(1000))

            def random_hex(size: int, letter: str = letter, numbers: object = numbers) -> str:
                return letter + f"{next(numbers):0{2 * size - 1}x}"  # type: ignore[call-overload]

            logins = PendingLogins("http://s/", made.clock, random_hex)
            checks = SSHChecks(tailnet, "http://s/", random_hex)
            shared = SharedWaiting(made.board, logins, checks, made.clock, tailnet.catch_up)
            shared.start()
            stack.push_async_callback(shared.close)
            made.all.append(One(logins, checks, shared))
        yield made


def begin(one: One, number: int = 1) -> str:
    request = RegisterRequest(hostinfo={"Hostname": "laptop"})
    return one.logins.begin(machine_key(number), node_key(number), request).rpartition("/")[2]


@pytest.mark.parametrize("admitted", [True, False])
async def test_a_login_is_decided_at_another_instance(crowd: Crowd, admitted: bool) -> None:
    a, b = crowd.all
    login_id = begin(a)
    waiting = asyncio.create_task(a.logins.wait(f"http://s/register/{login_id}", machine_key(1), node_key(1)))
    await crowd.until(lambda: login_id in crowd.board.held)
    await b.shared.look()
    found = b.logins.get(login_id)
    assert (found.machine_key, found.request.hostinfo) == (machine_key(1), {"Hostname": "laptop"})
    if admitted:
        b.logins.approved(login_id)
    else:
        b.logins.refuse(login_id)
    await crowd.until(waiting.done)
    assert waiting.result() is admitted
    for one in crowd.all:
        with pytest.raises(NotFoundError):
            one.logins.get(login_id)


async def test_who_is_woken_finds_what_was_stored_with_the_decision(crowd: Crowd) -> None:
    a, b = crowd.all
    login_id = begin(a)
    waiting = asyncio.create_task(a.logins.wait(f"http://s/register/{login_id}", machine_key(1), node_key(1)))
    await crowd.until(lambda: login_id in crowd.board.held)
    await b.shared.look()
    tailnets = [one.checks._tailnet for one in (a, b)]
    await tailnets[1].execute(lambda directory: directory.put_user(make_user(7)))
    assert 7 not in tailnets[0].snapshot.users
    b.logins.approved(login_id)
    await crowd.until(waiting.done)
    assert 7 in tailnets[0].snapshot.users, "else the machine would be given another page"


async def test_the_same_machine_gets_the_same_page_everywhere(crowd: Crowd) -> None:
    a, b = crowd.all
    login_id = begin(a)
    await crowd.until(lambda: login_id in crowd.board.held)
    await b.shared.look()
    assert begin(b) == login_id


@pytest.mark.parametrize("approve", [True, False])
async def test_an_ssh_session_is_decided_at_another_instance(crowd: Crowd, approve: bool) -> None:
    a, b = crowd.all
    fields = {"machine_key": machine_key(2), "ssh_user": "root", "local_user": "root"}
    ends = {"source": make_node(1).id, "destination": make_node(2).id}
    asked = await a.checks.answer(SSHAttempt(**ends, **fields))  # type: ignore[arg-type]
    check_id = str(asked.hold_and_delegate).rpartition("auth_id=")[2]
    await crowd.until(lambda: check_id in crowd.board.held)
    await b.shared.look()
    await b.checks.decide(check_id, approve=approve, actor=ACTOR)
    attempt = SSHAttempt(**ends, **fields, check_id=check_id)  # type: ignore[arg-type]
    answer = asyncio.create_task(a.checks.answer(attempt))
    await crowd.until(answer.done)
    assert bool(answer.result().accept) is approve


async def test_a_board_that_is_away_is_told_later(crowd: Crowd) -> None:
    a, b = crowd.all
    crowd.board.broken = True
    login_id = begin(a)
    await asyncio.sleep(0.03)
    crowd.board.broken = False
    await crowd.until(lambda: login_id in crowd.board.held)
    await b.shared.look()
    crowd.board.broken = True
    b.logins.approved(login_id)
    await asyncio.sleep(0.03)
    crowd.board.broken = False
    await crowd.until(lambda: crowd.board.decisions == {login_id: True})


async def test_what_another_release_says_harms_nobody(crowd: Crowd) -> None:
    for kind, body in (("login", "{}"), ("ssh", "[]"), ("vote", "{}")):
        crowd.board.held[kind] = Waiting(id=kind, kind=kind, body=body, began=NOW)
    await crowd.all[0].shared.look()
    await crowd.all[0].shared.look()
    crowd.board.decisions |= dict.fromkeys(("login", "ssh", "vote", "never heard of"), True)
    await crowd.all[0].shared.look()
