"""What somebody who logged in is asked and may say yes to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from coordinator.services.login import PendingLogins
from coordinator.services.login_approval import LoginApproval
from coordinator.services.registration import RegistrationService, RegistrationSettings
from coordinator.services.ssh_checks import SSHChecks
from coordinator.services.tailnet import Tailnet
from coordinator.services.users import UserService
from coordinator.tailcfg.register import RegisterRequest
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ForbiddenError, NotFoundError
from coordinator.tailnet.state import TailnetState
from coordinator.tailnet.users import UserID
from tests.support.builders import FakeClock, machine_key, make_user, node_key
from tests.support.tailnets import PREFIXES, make_tailnet

ACTOR = Actor(kind="socket", name="test")
ADA = make_user(1, name="ada", email="ada@example.com")


class Bench:
    """A machine that waits for ada."""

    def __init__(self, tailnet: Tailnet, clock: FakeClock) -> None:
        self.tailnet, self.clock = tailnet, clock
        logins = PendingLogins("http://server", clock, lambda size: "ab" * size)
        settings = RegistrationSettings(prefixes=PREFIXES, key_lifetime=timedelta(days=7))
        registration = RegistrationService(tailnet, logins, settings, lambda size: 0)
        checks = SSHChecks(tailnet, "http://server", lambda size: "cd" * size)
        self.approval = LoginApproval(tailnet, registration, logins, checks)
        request = RegisterRequest(
            version=142, node_key=node_key(9), hostinfo={"Hostname": "laptop", "OS": 7 * "windows"}
        )
        self.login_id = logins.begin(machine_key(9), node_key(9), request).rpartition("/")[2]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    tailnet, _, clock = make_tailnet(TailnetState(users={ADA.id: ADA}, counters={"users": 1}))
    tailnet.start()
    yield Bench(tailnet, clock)
    await tailnet.close()


async def test_the_question_names_the_machine(bench: Bench) -> None:
    question = bench.approval.question("register", bench.login_id, ADA)
    assert question["Machine"] == "laptop"
    assert question["Key"] == "mkey:000000000000…"
    assert question["Joins as a machine of"] == "ada@example.com"
    with pytest.raises(NotFoundError):
        bench.approval.question("register", "hskey-authreq-none", ADA)


async def test_a_yes_lets_the_machine_in(bench: Bench) -> None:
    until = bench.clock() + timedelta(hours=1)
    said = await bench.approval.carry_out("register", bench.login_id, ADA.id, until)
    assert said == "The machine joined as laptop."
    [record] = bench.tailnet.snapshot.records.values()
    assert (record.node.register_method, record.node.expiry, record.node.user_id) == ("oidc", until, ADA.id)


async def test_without_an_expiry_of_the_token_the_configured_one_counts(bench: Bench) -> None:
    await bench.approval.carry_out("register", bench.login_id, ADA.id, None)
    [record] = bench.tailnet.snapshot.records.values()
    assert record.node.expiry == bench.clock() + timedelta(days=7)


async def test_a_user_who_left_or_was_suspended_meanwhile_says_nothing(bench: Bench) -> None:
    with pytest.raises(NotFoundError, match="deleted meanwhile"):
        await bench.approval.carry_out("register", bench.login_id, UserID(5), None)
    await UserService(bench.tailnet).suspend(ADA.id, actor=ACTOR)
    with pytest.raises(ForbiddenError):
        await bench.approval.carry_out("register", bench.login_id, ADA.id, None)
    assert not bench.tailnet.snapshot.records
