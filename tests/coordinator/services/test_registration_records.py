"""What entries say of registrations, through the service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from coordinator.audit.budget import BURST
from coordinator.services.login import PendingLogins
from coordinator.services.preauth_keys import PreAuthKeyService
from coordinator.services.registration import UNKNOWN_KEY, RegistrationService, RegistrationSettings
from coordinator.services.users import UserService
from coordinator.tailcfg.codec import go_time
from coordinator.tailcfg.register import RegisterAuth, RegisterRequest, RegisterResponse
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.state import AuditEntry
from coordinator.tailnet.users import UserID
from tests.support.builders import FakeClock, machine_key, node_key
from tests.support.tailnets import PREFIXES, MemoryStore, make_tailnet

ACTOR = Actor(kind="socket", name="test")
LOGOUT = "1970-01-01T00:02:03Z"


class Bench:
    """The registration service, and what was recorded since the last look."""

    def __init__(self, store: MemoryStore, clock: FakeClock, service: RegistrationService) -> None:
        self.store, self.clock, self.service = store, clock, service
        self.key = ""
        self._seen = 0

    async def register(
        self, machine: int = 1, node: int = 1, key: str = "", **fields: object
    ) -> RegisterResponse:
        request = RegisterRequest(
            version=142,
            node_key=node_key(node),
            auth=RegisterAuth(auth_key=key) if key else None,
            **{"hostinfo": {"Hostname": f"host{machine}"}, **fields},  # type: ignore[arg-type]
        )
        return await self.service.register(machine_key(machine), request)

    def recorded(self) -> list[AuditEntry]:
        commits, self._seen = self.store.commits[self._seen :], len(self.store.commits)
        return [entry for commit in commits for entry in commit.audit]

    def actions(self) -> list[tuple[str, str]]:
        return [(entry.action, entry.target) for entry in self.recorded()]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    tailnet, store, clock = make_tailnet()
    logins = PendingLogins("http://server", clock, lambda size: "0" * 2 * size)
    service = RegistrationService(tailnet, logins, RegistrationSettings(prefixes=PREFIXES), lambda size: 0)
    tailnet.start()
    user = await UserService(tailnet).create("alice", actor=ACTOR)
    keys = PreAuthKeyService(tailnet, lambda size: bytes(size))
    made = Bench(store, clock, service)
    _, made.key = await keys.create(
        user_id=user.id, reusable=True, expiration=clock.now + timedelta(days=1), actor=ACTOR
    )
    made.recorded()
    yield made
    await tailnet.close()


async def test_a_join_names_the_machine_and_the_key(bench: Bench) -> None:
    await bench.register(key=bench.key)
    joined, used = bench.recorded()
    assert (joined.action, str(joined.actor), joined.target) == ("node.register", "node:1", "node:1")
    assert joined.after["machine_key"] == machine_key(1)
    assert joined.after["auth_key"] == 1
    assert (used.action, used.target, used.before, used.after) == (
        "preauthkey.use",
        "preauthkey:1",
        {"used": False},
        {"used": True, "node": 1},
    )
    assert bench.key.rpartition("-")[2] not in repr((joined, used)), "no entry holds a secret"


async def test_the_life_of_a_node(bench: Bench) -> None:
    await bench.register(key=bench.key)
    await bench.register(node=2, key=bench.key, old_node_key=node_key(1))
    bench.recorded()
    await bench.register(node=2, expiry=go_time(bench.clock.now + timedelta(hours=1)))
    assert bench.actions() == [("node.expire", "node:1")]
    await bench.register(node=2, expiry=LOGOUT)
    assert bench.actions() == [("node.logout", "node:1")]
    await bench.register(node=3, key=bench.key)
    again, _ = bench.recorded()
    assert (again.action, again.target) == ("node.reauthenticate", "node:1")
    assert (again.before["node_key"], again.after["node_key"]) == (node_key(2), node_key(3))


async def test_an_ephemeral_node_is_deleted_by_its_logout(bench: Bench) -> None:
    await bench.register(key=bench.key, ephemeral=True)
    bench.recorded()
    await bench.register(expiry=LOGOUT)
    (entry,) = bench.recorded()
    assert (entry.action, entry.reason, entry.before["hostname"]) == ("node.delete", "logout", "host1")


async def test_an_approval_is_by_the_person(bench: Bench) -> None:
    url = (await bench.register()).auth_url
    assert bench.actions() == [], "waiting changes nothing"
    await bench.service.approve(url.rpartition("/")[2], UserID(1), actor=ACTOR)
    (entry,) = bench.recorded()
    assert (entry.action, str(entry.actor), entry.after["user"]) == ("node.approve", "socket:test", 1)


async def test_a_confirmation_changes_nothing_and_records_nothing(bench: Bench) -> None:
    await bench.register(key=bench.key)
    bench.recorded()
    await bench.register(key=bench.key)
    assert bench.actions() == []


async def test_refusals_are_recorded_with_their_reason(bench: Bench) -> None:
    await bench.register(key="hskey-auth-" + "0" * 12 + "-" + "1" * 64)
    (entry,) = bench.recorded()
    assert (entry.action, entry.target) == ("node.register.refused", f"machine:{machine_key(1)}")
    assert (entry.reason, entry.object_name) == (UNKNOWN_KEY, "host1")
    await bench.register(key=bench.key)
    bench.recorded()
    # The NodeKey of another machine is of no use, whatever auth key comes with it.
    await bench.register(machine=2, key=bench.key)
    assert bench.actions() == [("node.register.refused", f"machine:{machine_key(2)}")]


async def test_a_flood_of_refusals_is_counted_instead(bench: Bench) -> None:
    for machine in range(BURST + 5):
        assert (await bench.register(machine=machine, key="nonsense")).error
    assert len(bench.recorded()) == BURST
    bench.clock.forward(seconds=1)
    await bench.register(key="nonsense")
    (entry,) = bench.recorded()
    assert entry.after["not_recorded_before"] == 5
