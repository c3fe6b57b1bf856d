"""SSH check mode: who is asked, who may answer, and how long an answer lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from coordinator.services.ssh_checks import NOT_ALLOWED, SSHAttempt, SSHChecks
from coordinator.services.tailnet import Tailnet
from coordinator.tailcfg.ssh_policy import SSHAction
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import NotFoundError
from coordinator.tailnet.state import TailnetState
from tests.support.builders import FakeClock, machine_key, make_node, make_user
from tests.support.tailnets import MemoryStore, make_tailnet

ACTOR = Actor(kind="socket", name="test")
SOURCE, DESTINATION = 1, 2


def policy(period: str = "1h", action: str = "check") -> str:
    return f"""{{
      "acls": [{{"action": "accept", "src": ["*"], "dst": ["*:*"]}}],
      "tagOwners": {{"tag:box": ["user1@"]}},
      "ssh": [{{"action": "{action}", "src": ["user1@"], "dst": ["tag:box"],
               "users": ["root", "autogroup:nonroot"]
               {f', "checkPeriod": "{period}"' if action == "check" else ""}}}]
    }}"""


@dataclass
class Bench:
    """Two nodes, the service, and what it stored."""

    checks: SSHChecks
    tailnet: Tailnet
    store: MemoryStore
    clock: FakeClock

    async def ask(self, **changes: Any) -> SSHAction:
        fields: dict[str, Any] = {
            "machine_key": machine_key(DESTINATION),
            "source": SOURCE,
            "destination": DESTINATION,
            "ssh_user": "root",
            "local_user": "root",
        }
        return await self.checks.answer(SSHAttempt(**fields | changes))

    async def pending(self) -> str:
        """The id of a new check."""
        action = await self.ask()
        assert action.message
        return str(action.hold_and_delegate).rpartition("auth_id=")[2]


async def make_bench(text: str) -> AsyncIterator[Bench]:
    nodes = [make_node(SOURCE), make_node(DESTINATION, tags=("tag:box",))]
    state = TailnetState(users={make_user().id: make_user()}, nodes={node.id: node for node in nodes})
    tailnet, store, clock = make_tailnet(state, policy=text)
    numbers = iter(range(1, 100))
    tailnet.start()
    yield Bench(
        SSHChecks(tailnet, "http://server/", lambda size: f"{next(numbers):0{2 * size}x}"),
        tailnet,
        store,
        clock,
    )
    await tailnet.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async for made in make_bench(policy()):
        yield made


@pytest.fixture
async def strict() -> AsyncIterator[Bench]:
    async for made in make_bench(policy("always")):
        yield made


async def test_a_session_waits_until_somebody_confirms(bench: Bench) -> None:
    first = await bench.ask()
    assert "http://server/auth/hskey-authreq-" in str(first.message)
    check_id = str(first.hold_and_delegate).rpartition("auth_id=")[2]
    held = asyncio.create_task(bench.ask(check_id=check_id))
    await asyncio.sleep(0)
    assert not held.done()
    await bench.checks.decide(check_id, approve=True, actor=ACTOR)
    assert (await held).accept is True
    (entry,) = [entry for commit in bench.store.commits for entry in commit.audit]
    assert (entry.action, entry.target) == ("ssh.approve", f"node:{DESTINATION}")


async def test_a_refusal_is_said(bench: Bench) -> None:
    check_id = await bench.pending()
    held = asyncio.create_task(bench.ask(check_id=check_id))
    await asyncio.sleep(0)
    await bench.checks.decide(check_id, approve=False, actor=ACTOR)
    answer = await held
    assert (answer.reject, answer.message) == (True, "this login was refused\n")
    assert (await bench.ask()).hold_and_delegate


async def test_a_confirmation_lasts_for_the_check_period(bench: Bench) -> None:
    check_id = await bench.pending()
    await bench.checks.decide(check_id, approve=True, actor=ACTOR)
    bench.clock.forward(minutes=59)
    assert (await bench.ask(ssh_user="ada")).accept is True
    bench.clock.forward(minutes=1)
    assert (await bench.ask()).hold_and_delegate


async def test_always_asks_always_and_takes_a_decision_between_two_requests(strict: Bench) -> None:
    check_id = await strict.pending()
    await strict.checks.decide(check_id, approve=True, actor=ACTOR)
    assert (await strict.ask(check_id=check_id)).accept is True
    assert (await strict.ask()).hold_and_delegate
    used = await strict.ask(check_id=check_id)
    assert used.reject is True


async def test_a_confirmation_is_for_these_two_nodes_only(bench: Bench) -> None:
    check_id = await bench.pending()
    await bench.checks.decide(check_id, approve=True, actor=ACTOR)
    assert (await bench.ask(source=DESTINATION)).message == NOT_ALLOWED


@pytest.mark.parametrize(
    "attempt",
    [
        {"machine_key": machine_key(9)},
        {"machine_key": machine_key(SOURCE)},
        {"source": 99},
        {"destination": 99},
        {"source": DESTINATION, "destination": SOURCE, "machine_key": machine_key(SOURCE)},
    ],
)
async def test_strangers_and_wrong_ends_get_one_and_the_same_answer(
    bench: Bench, attempt: dict[str, Any]
) -> None:
    answer = await bench.ask(**attempt)
    assert (answer.reject, answer.message) == (True, NOT_ALLOWED)


async def test_a_check_of_other_ends_cannot_be_used(bench: Bench) -> None:
    assert (await bench.ask(check_id="hskey-authreq-unknown")).reject is True


async def test_the_policy_of_the_moment_decides_after_the_wait(bench: Bench) -> None:
    check_id = await bench.pending()
    held = asyncio.create_task(bench.ask(check_id=check_id))
    await asyncio.sleep(0)
    bench.tailnet.replace_policy(None)
    await bench.checks.decide(check_id, approve=True, actor=ACTOR)
    assert (await held).message == NOT_ALLOWED


async def test_a_rule_that_accepts_now_lets_in_without_asking() -> None:
    async for bench in make_bench(policy(action="accept")):
        assert (await bench.ask()).accept is True


async def test_a_check_ends_with_its_lifetime(bench: Bench) -> None:
    check_id = await bench.pending()
    bench.clock.forward(minutes=16)
    with pytest.raises(NotFoundError):
        bench.checks.get(check_id)
    with pytest.raises(NotFoundError):
        await bench.checks.decide(check_id, approve=True, actor=ACTOR)


async def test_ten_thousand_requests_stay_bounded(bench: Bench) -> None:
    numbers = iter(range(10_000))
    checks = SSHChecks(bench.tailnet, "http://server", lambda size: f"{next(numbers):x}")
    bench.checks = checks
    for _ in range(3_000):
        await bench.ask()
    assert len(checks._pending) <= 1024
