"""Machines from outside: one key, one machine, and both gone with the window."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from coordinator.services.access import AccessService
from coordinator.services.access_rules import Asked
from coordinator.services.minted_machines import MintedMachines
from coordinator.services.policy import PolicyService
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from coordinator.tailnet.nodes import NodeID
from coordinator.tailnet.preauth_keys import PreAuthKey, matches, split_key
from coordinator.tailnet.registration import key_refusal
from coordinator.tailnet.state import StoredPolicy, TailnetState
from coordinator.tailnet.users import UserID
from tests.support.builders import NOW, FakeClock, make_node, make_user
from tests.support.tailnets import MemoryStore, make_tailnet

ACTOR = Actor(kind="socket", name="test")
ASKER, LEAD, OTHER = (make_user(number) for number in (1, 2, 3))
LAPTOP, SERVER = make_node(1), make_node(2, tags=("tag:mgmt",))
BYSTANDER = make_node(3, tags=("tag:contractor",))
TAGS = ("tag:contractor",)


def policy_text(**changes: Any) -> str:
    profile: dict[str, Any] = {
        "src": ["user1@"],
        "dst": ["tag:mgmt:22"],
        "approvers": ["user2@"],
        "maxDuration": "4h",
        "mint": {"tags": ["tag:contractor"]},
    }
    document = {
        "tagOwners": {"tag:mgmt": [], "tag:contractor": []},
        "acls": [],
        "access": {"profiles": {"ci": {k: v for k, v in (profile | changes).items() if v is not None}}},
    }
    return json.dumps(document)


async def no_versions(limit: int) -> list[StoredPolicy]:
    return []


@dataclass
class Bench:
    """Three people, three machines, and the services."""

    tailnet: Tailnet
    policy: PolicyService
    access: AccessService
    minted: MintedMachines
    store: MemoryStore
    clock: FakeClock

    async def opened(self, **given: Any) -> AccessRequest:
        request = await self.access.request(Asked(profile="ci", user=ASKER, mint=True, **given), actor=ACTOR)
        return await self.access.approve(request.id, by=LEAD, actor=ACTOR)

    async def key(self, request: AccessRequest) -> PreAuthKey:
        changed, text = await self.minted.key(request.id, by=ASKER, actor=ACTOR)
        found = self.tailnet.snapshot.preauth_keys[changed.key_id or 0]
        assert matches(found, split_key(text)[1])
        return found

    async def join(self, key: PreAuthKey, number: int = 9) -> NodeID:
        """What registration does."""
        node = make_node(number, tags=key.tags, auth_key_id=key.id, ephemeral=key.ephemeral)

        def command(directory: Any) -> None:
            directory.put_node(node)
            directory.put_preauth_key(replace(key, used=True))

        await self.tailnet.execute(command)
        await self.tick()
        return node.id

    async def tick(self) -> None:
        await self.access.windows.tick()
        await self.minted.tick()

    def sees(self, one: int, other: int) -> bool:
        world = self.tailnet.world
        return bool(world.policy.peers(one) >> world.snapshot.index_of[NodeID(other)] & 1)

    def there(self, node_id: int) -> bool:
        return self.tailnet.snapshot.record(NodeID(node_id)) is not None

    def refusal(self, key: PreAuthKey) -> str | None:
        return key_refusal(self.tailnet.snapshot.preauth_keys[key.id], self.clock.now)

    def actions(self) -> list[str]:
        return [entry.action for commit in self.store.commits for entry in commit.audit]

    def stored(self) -> list[AccessRequest]:
        """The requests as another process would load them."""
        last: dict[int, AccessRequest] = {}
        for commit in self.store.commits:
            last.update(commit.put_access)
        return list(last.values())


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    users = {user.id: user for user in (ASKER, LEAD, OTHER)}
    nodes = {node.id: node for node in (LAPTOP, SERVER, BYSTANDER)}
    state = TailnetState(users=users, nodes=nodes, counters={"nodes": 3})
    clock = FakeClock(NOW)
    tailnet, store, _ = make_tailnet(state, policy=None, clock=clock)
    service = PolicyService(tailnet, path=None, database_mode=True, stored=None, versions=no_versions)
    access = AccessService(tailnet, service, ())
    numbers = iter(range(256))
    minted = MintedMachines(tailnet, access, lambda size: bytes([next(numbers)]) * size)
    tailnet.start()
    await service.set(policy_text(), actor=ACTOR)
    yield Bench(tailnet, service, access, minted, store, clock)
    await tailnet.close()


async def test_only_the_machine_of_the_window_gets_the_opening_and_it_leaves_with_it(bench: Bench) -> None:
    request = await bench.opened(duration=timedelta(hours=1))
    key = await bench.key(request)
    assert (key.tags, key.ephemeral, key.reusable, key.preapproved) == (TAGS, True, False, True)
    assert (key.user_id, key.expiration) == (None, request.closes_at)
    node_id = await bench.join(key)
    assert bench.sees(node_id, SERVER.id)
    assert bench.sees(SERVER.id, node_id)
    assert not bench.sees(BYSTANDER.id, SERVER.id)
    assert not bench.sees(LAPTOP.id, SERVER.id)
    bench.clock.forward(minutes=60)
    await bench.tick()
    assert (bench.there(node_id), bench.there(BYSTANDER.id)) == (False, True)
    assert [action for action in bench.actions() if action[:6] not in ("policy", "change")] == [
        "access.request", "access.approve", "access.open", "access.key", "preauthkey.create",
        "access.close", "node.delete",
    ]  # fmt: skip


@pytest.mark.parametrize("early", [True, False])
async def test_an_unused_key_ends_with_the_window(bench: Bench, early: bool) -> None:
    request = await bench.opened(duration=timedelta(hours=1))
    key = await bench.key(request)
    assert bench.refusal(key) is None
    if early:
        await bench.access.revoke(request.id, by=LEAD, actor=ACTOR)
    else:
        bench.clock.forward(hours=1)
        assert "has expired" in str(bench.refusal(key)), "no timer had to fire"
    await bench.tick()
    assert bench.refusal(key) is not None
    bench.clock.now = NOW
    assert bench.refusal(key) is not None, "a clock put back does not make it valid again"
    assert bench.actions()[-1] == "preauthkey.expire"


async def test_a_machine_that_joins_as_the_window_ends_leaves_too(bench: Bench) -> None:
    request = await bench.opened()
    key = await bench.key(request)
    await bench.access.revoke(request.id, by=LEAD, actor=ACTOR)
    await bench.minted.tick()
    node_id = await bench.join(key)
    assert not bench.there(node_id)
    await bench.tick()


async def test_an_extended_window_keeps_its_key_and_machine(bench: Bench) -> None:
    request = await bench.opened(duration=timedelta(hours=1))
    key = await bench.key(request)
    longer = await bench.access.extend(request.id, timedelta(minutes=30), by=LEAD, actor=ACTOR)
    await bench.tick()
    assert bench.tailnet.snapshot.preauth_keys[key.id].expiration == longer.closes_at
    node_id = await bench.join(bench.tailnet.snapshot.preauth_keys[key.id])
    bench.clock.forward(minutes=89)
    await bench.tick()
    assert bench.there(node_id)
    bench.clock.forward(minutes=1)
    await bench.tick()
    assert not bench.there(node_id)


async def test_a_window_that_ended_while_the_server_was_down(bench: Bench) -> None:
    request = await bench.opened(duration=timedelta(hours=1))
    node_id = await bench.join(await bench.key(request))
    bench.clock.forward(hours=2)
    access = AccessService(bench.tailnet, bench.policy, bench.stored())
    await MintedMachines(bench.tailnet, access, lambda size: bytes(size)).tick()
    assert not bench.there(node_id)


@pytest.mark.parametrize("mint", [None, {"tags": ["tag:mgmt"]}])
async def test_an_edit_of_the_policy_that_takes_the_tags_away_ends_it(bench: Bench, mint: Any) -> None:
    request = await bench.opened()
    node_id = await bench.join(await bench.key(request))
    await bench.policy.set(policy_text(mint=mint), actor=ACTOR)
    await bench.tick()
    assert bench.access.get(request.id).end_reason == "policy"
    assert not bench.there(node_id)


async def test_a_machine_that_was_given_to_a_person_stays(bench: Bench) -> None:
    request = await bench.opened()
    node_id = await bench.join(await bench.key(request))
    found = bench.tailnet.snapshot.record(node_id)
    assert found is not None
    adopted = replace(found.node, tags=(), user_id=UserID(3))
    await bench.tailnet.execute(lambda directory: directory.put_node(adopted))
    await bench.access.revoke(request.id, by=LEAD, actor=ACTOR)
    await bench.tick()
    assert bench.there(node_id)


async def test_the_key_is_for_the_asker_and_once(bench: Bench) -> None:
    asked = await bench.access.request(Asked(profile="ci", user=ASKER, mint=True), actor=ACTOR)
    with pytest.raises(ConflictError, match="it is requested"):
        await bench.minted.key(asked.id, by=ASKER, actor=ACTOR)
    request = await bench.access.approve(asked.id, by=LEAD, actor=ACTOR)
    with pytest.raises(ForbiddenError, match="only who asked"):
        await bench.minted.key(request.id, by=LEAD, actor=ACTOR)
    await bench.key(request)
    with pytest.raises(ConflictError, match="shown once"):
        await bench.minted.key(request.id, by=None, actor=ACTOR)
    with pytest.raises(NotFoundError):
        await bench.minted.key(99, by=None, actor=ACTOR)
    own = await bench.access.request(Asked(profile="ci", user=ASKER), actor=ACTOR)
    await bench.access.approve(own.id, by=LEAD, actor=ACTOR)
    with pytest.raises(ConflictError, match="it has no key"):
        await bench.minted.key(own.id, by=ASKER, actor=ACTOR)


async def test_what_may_be_asked_for(bench: Bench) -> None:
    with pytest.raises(InvalidError, match="of yours"):
        await bench.opened(node_id=LAPTOP.id)
    await bench.tailnet.execute(lambda directory: directory.delete_node(LAPTOP.id))
    await bench.opened()
    await bench.policy.set(policy_text(mint=None), actor=ACTOR)
    with pytest.raises(InvalidError, match="no `mint`"):
        await bench.opened()
