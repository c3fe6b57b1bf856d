"""The policy in force: a watched file, or the database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from acl import PolicyError, parse_policy
from coordinator.services.nodes import NodeService
from coordinator.services.policy import PolicyService
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import InvalidError, NotFoundError
from coordinator.tailnet.state import ChangeSet, StoredPolicy, TailnetState
from tests.support.builders import NOW, make_node, make_user
from tests.support.tailnets import MemoryStore, make_tailnet

ACTOR = Actor(kind="socket", name="test")
ALL = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
NONE = '{"acls": []}'
BROKEN = '{"acls": [{"action": "accept", "src": ["group:x"], "dst": ["*:*"]}'


async def no_versions(limit: int) -> list[StoredPolicy]:
    return []


def two_nodes() -> TailnetState:
    user = make_user(1)
    nodes = {node.id: node for node in (make_node(1), make_node(2))}
    return TailnetState(users={user.id: user}, nodes=nodes)


async def test_a_file_is_watched_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "acls.hujson"
    path.write_text(ALL)
    tailnet, _, _ = make_tailnet(two_nodes(), policy=NONE)
    service = PolicyService(tailnet, path=path, database_mode=False, stored=None, versions=no_versions)
    service.load()
    service.start()
    assert tailnet.world.policy.peers(1) == 0b10
    path.write_text(NONE)
    await asyncio.sleep(0.3)
    assert tailnet.world.policy.peers(1) == 0
    path.write_text(ALL)
    await asyncio.sleep(0.3)
    path.write_text(BROKEN)
    await asyncio.sleep(0.3)
    assert tailnet.world.policy.peers(1) == 0b10
    assert service.get()[0] == ALL
    # Editors replace files instead of writing into them.
    (tmp_path / "new").write_text(NONE)
    (tmp_path / "new").rename(path)
    await asyncio.sleep(0.3)
    assert tailnet.world.policy.peers(1) == 0
    await service.close()


async def test_a_server_does_not_start_with_another_policy_than_the_one_written(tmp_path: Path) -> None:
    path = tmp_path / "acls.hujson"
    tailnet, _, _ = make_tailnet(two_nodes())
    service = PolicyService(tailnet, path=path, database_mode=False, stored=None, versions=no_versions)
    with pytest.raises(InvalidError, match=r"acls\.hujson"):
        service.load()
    path.write_text(BROKEN)
    with pytest.raises(PolicyError):
        service.load()


async def test_database_mode_keeps_every_version() -> None:
    tailnet, store, _ = make_tailnet(two_nodes())
    tailnet.start()
    service = PolicyService(tailnet, path=None, database_mode=True, stored=None, versions=no_versions)
    service.load()
    with pytest.raises(NotFoundError):
        service.get()
    await service.set(NONE, actor=ACTOR, note="close")
    stored = await service.set(ALL, actor=ACTOR)
    assert (stored.id, stored.author) == (2, "socket:test")
    assert tailnet.world.policy.peers(1) == 0b10
    with pytest.raises(PolicyError):
        await service.set(BROKEN, actor=ACTOR)
    assert service.get()[0] == ALL
    assert [policy.text for commit in store.commits for policy in commit.put_policies] == [NONE, ALL]
    again = PolicyService(tailnet, path=None, database_mode=True, stored=stored, versions=no_versions)
    again.load()
    assert again.get()[0] == ALL
    await tailnet.close()


async def test_the_policys_own_tests_are_run() -> None:
    tailnet, _, _ = make_tailnet(two_nodes())
    service = PolicyService(tailnet, path=None, database_mode=True, stored=None, versions=no_versions)
    failing = '{"acls": [], "tests": [{"src": "100.64.0.1", "accept": ["100.64.0.2:22"]}]}'
    with pytest.raises(PolicyError, match="test"):
        await service.check(failing)


async def test_file_mode_cannot_be_set(tmp_path: Path) -> None:
    tailnet, _, _ = make_tailnet()
    service = PolicyService(
        tailnet, path=tmp_path / "x", database_mode=False, stored=None, versions=no_versions
    )
    with pytest.raises(InvalidError, match=r"policy\.path"):
        await service.set(ALL, actor=ACTOR)


async def test_relays_are_checked_with_those_the_server_has() -> None:
    tailnet, _, _ = make_tailnet(two_nodes())
    service = PolicyService(tailnet, path=None, database_mode=True, stored=None, versions=no_versions)
    with pytest.raises(PolicyError, match="leaves no region"):
        await service.check('{"derpMap": {"OmitDefaultRegions": true}}')
    await service.check('{"derpMap": {"Regions": {"901": {"Nodes": [{"HostName": "relay.example.com"}]}}}}')


async def test_what_a_new_policy_approves_is_approved_at_once(tmp_path: Path) -> None:
    node = make_node(1, hostinfo={"RoutableIPs": ["10.0.0.0/24"]})
    state = TailnetState(users={make_user(1).id: make_user(1)}, nodes={node.id: node})
    tailnet, _, _ = make_tailnet(state)
    tailnet.start()
    service = PolicyService(
        tailnet,
        path=None,
        database_mode=True,
        stored=None,
        versions=no_versions,
        on_change=NodeService(tailnet).approve_by_policy,
    )
    await service.set('{"autoApprovers": {"routes": {"10.0.0.0/8": ["user1@"]}}}', actor=ACTOR)
    async with asyncio.timeout(5):
        while not tailnet.snapshot.nodes()[0].approved_routes:
            await asyncio.sleep(0.01)
    assert tailnet.snapshot.nodes()[0].approved_routes == ("10.0.0.0/24",)
    await service.close()
    await tailnet.close()


async def test_rules_may_name_a_domain_before_its_first_user_unless_domains_are_configured() -> None:
    text = '{"acls": [{"action": "accept", "src": ["user:*@example.com"], "dst": ["*:*"]}]}'
    tailnet, _, _ = make_tailnet(two_nodes())
    service = PolicyService(tailnet, path=None, database_mode=True, stored=None, versions=no_versions)
    await service.check(text)
    facts = replace(tailnet.world.policy.facts, associated_domains=("example.org",))
    tailnet.world.policy.replace_facts(facts)
    with pytest.raises(PolicyError, match="not associated"):
        await service.check(text)


async def test_nodes_that_come_and_go_while_a_policy_is_compiled_are_not_lost() -> None:
    tailnet, _, _ = make_tailnet(two_nodes(), policy=NONE)
    tailnet.start()
    service = PolicyService(tailnet, path=None, database_mode=True, stored=None, versions=no_versions)
    setting = asyncio.create_task(service.set(ALL, actor=ACTOR))
    await asyncio.sleep(0)

    def meanwhile(directory: Directory) -> None:
        directory.put_node(make_node(3))
        directory.delete_node(make_node(2).id)

    await tailnet.execute(meanwhile)
    await setting
    world = tailnet.world
    assert {record.node.id for record in world.snapshot.records.values()} == {1, 3}
    assert world.policy.peers(1) == 1 << world.snapshot.index_of[make_node(3).id]
    await tailnet.close()


class Instances:
    """Policy services of instances on one store."""

    def __init__(self, count: int = 2) -> None:
        self.store, state = MemoryStore(), two_nodes()
        self.store.commits.append(ChangeSet(put_users=dict(state.users), put_nodes=dict(state.nodes)))
        self.tailnets = [make_tailnet(policy=None, store=self.store)[0] for _ in range(count)]
        self.services = [
            PolicyService(tailnet, path=None, database_mode=True, stored=None, versions=no_versions)
            for tailnet in self.tailnets
        ]

    async def __aenter__(self) -> Instances:
        for tailnet in self.tailnets:
            tailnet.start()
        return self

    async def __aexit__(self, *raised: object) -> None:
        for service, tailnet in zip(self.services, self.tailnets, strict=True):
            await service.close()
            await tailnet.close()

    async def agree(self) -> None:
        """Wait until the stored newest is in force everywhere."""
        newest = self.store.load().policy
        assert newest is not None
        for tailnet in self.tailnets:
            await tailnet.catch_up()
        async with asyncio.timeout(5):
            while any(service.get() != (newest.text, newest.created_at) for service in self.services):
                await asyncio.sleep(0.001)
        for service in self.services:
            assert service.written == parse_policy(newest.text)

    def peers(self) -> list[int]:
        return [tailnet.world.policy.peers(1) for tailnet in self.tailnets]


async def test_a_policy_set_at_one_instance_comes_into_force_at_the_other() -> None:
    async with Instances() as pair:
        for number, (text, peers) in enumerate([(NONE, 0), (ALL, 0b10), (NONE, 0)]):
            await pair.services[number % 2].set(text, actor=ACTOR)
            await pair.agree()
            assert pair.peers() == [peers, peers]


async def test_of_policies_set_at_once_the_stored_newest_wins_everywhere() -> None:
    async with Instances(3) as crowd:
        texts = [
            f'{{"acls": [{{"action": "accept", "src": ["*"], "dst": ["*:{n}"]}}]}}' for n in range(1, 25)
        ]
        setting = [crowd.services[number % 3].set(text, actor=ACTOR) for number, text in enumerate(texts)]
        done = await asyncio.gather(*setting)
        assert sorted(stored.id for stored in done) == list(range(1, 25))
        await crowd.agree()
        await asyncio.sleep(0.05)
        await crowd.agree()


async def test_the_same_text_set_at_once_is_in_force_everywhere() -> None:
    async with Instances() as pair:
        for text in (ALL, NONE, NONE):
            await asyncio.gather(*(service.set(text, actor=ACTOR) for service in pair.services))
            await pair.agree()


async def test_what_this_instance_does_not_understand_leaves_the_former_in_force() -> None:
    async with Instances() as pair:
        await pair.services[0].set(NONE, actor=ACTOR)
        await pair.agree()
        strange = StoredPolicy(id=2, text='{"acls": [{}]}', created_at=NOW)
        pair.store.commits.append(ChangeSet(put_policies=[strange], counters={"policies": 2}))
        await pair.tailnets[0].catch_up()
        await asyncio.sleep(0.05)
        assert pair.services[0].text == NONE
        await pair.services[1].set(ALL, actor=ACTOR)
        await pair.agree()
