"""Verbs on nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from coordinator.services.nodes import NodeService
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ConflictError, InvalidError, NotFoundError
from coordinator.tailnet.state import TailnetState
from tests.support.builders import NOW, make_node, make_user
from tests.support.tailnets import MemoryStore, make_tailnet

ACTOR = Actor(kind="socket", name="test")
POLICY = """{"tagOwners": {"tag:a": ["user1@"]},
  "autoApprovers": {"routes": {"10.0.0.0/8": ["user1@"]}},
  "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}"""


@pytest.fixture
async def bench() -> AsyncIterator[tuple[NodeService, Tailnet, MemoryStore]]:
    user = make_user(1)
    nodes = {node.id: node for node in (make_node(1), make_node(2))}
    tailnet, store, _ = make_tailnet(TailnetState(users={user.id: user}, nodes=nodes), policy=POLICY)
    tailnet.start()
    yield NodeService(tailnet), tailnet, store
    await tailnet.close()


Bench = tuple[NodeService, Tailnet, MemoryStore]


async def test_rename(bench: Bench) -> None:
    nodes, _, store = bench
    view = await nodes.rename(1, "Web-1", actor=ACTOR)
    assert (view.node.given_name, view.fqdn) == ("web-1", "web-1.tail.lab.")
    entry = store.commits[0].audit[0]
    assert (str(entry.actor), entry.action, entry.target) == ("socket:test", "node.rename", "node:1")
    assert (entry.before, entry.after) == ({"given_name": "node1"}, {"given_name": "web-1"})
    with pytest.raises(ConflictError, match="`node2`"):
        await nodes.rename(1, "node2", actor=ACTOR)
    with pytest.raises(InvalidError):
        await nodes.rename(1, "a b", actor=ACTOR)


async def test_a_chosen_name_survives_a_new_host_name(bench: Bench) -> None:
    nodes, tailnet, _ = bench
    await nodes.rename(1, "chosen", actor=ACTOR)
    for number in (1, 2):
        tailnet.update_volatile(make_node(number).id, hostinfo={"Hostname": "fresh"})
        await nodes.hostinfo_changed(make_node(number).id)
    assert [view.node.given_name for view in nodes.list()] == ["chosen", "fresh"]
    assert [view.node.hostname for view in nodes.list()] == ["fresh", "fresh"]


async def test_tags_take_the_node_from_its_user(bench: Bench) -> None:
    nodes, _, _ = bench
    view = await nodes.set_tags(1, ["tag:a", "tag:a"], actor=ACTOR)
    assert (view.node.tags, view.node.user_id, view.user) == (("tag:a",), None, None)
    for tags in ([], ["a"], ["tag:"], ["tag:A"], ["tag:b"], ["tag:a b"]):
        with pytest.raises(InvalidError):
            await nodes.set_tags(1, tags, actor=ACTOR)


async def test_expire_now_later_never(bench: Bench) -> None:
    nodes, tailnet, _ = bench
    assert (await nodes.expire(1, actor=ACTOR)).expired
    assert tailnet.snapshot.records[0].expired
    view = await nodes.expire(1, at=NOW + timedelta(days=1), actor=ACTOR)
    assert not view.expired
    assert not tailnet.snapshot.records[0].expired
    assert (await nodes.expire(1, disable=True, actor=ACTOR)).node.expiry is None
    with pytest.raises(InvalidError):
        await nodes.expire(1, at=NOW, disable=True, actor=ACTOR)


async def test_a_key_is_extended_from_its_end_or_from_now(bench: Bench) -> None:
    nodes, _, _ = bench
    month = timedelta(days=30)
    with pytest.raises(InvalidError, match="`node1` never expires"):
        await nodes.extend(1, month, actor=ACTOR)
    await nodes.expire(1, at=NOW + timedelta(days=1), actor=ACTOR)
    assert (await nodes.extend(1, month, actor=ACTOR)).node.expiry == NOW + timedelta(days=31)
    await nodes.expire(1, actor=ACTOR)
    view = await nodes.extend(1, month, actor=ACTOR)
    assert (view.expired, view.node.expiry) == (False, NOW + month)
    with pytest.raises(InvalidError, match="positive"):
        await nodes.extend(1, timedelta(), actor=ACTOR)
    await nodes.expire(1, at=NOW.replace(year=9999), actor=ACTOR)
    with pytest.raises(InvalidError, match="calendar"):
        await nodes.extend(1, timedelta(days=365), actor=ACTOR)


async def test_routes_are_made_canonical(bench: Bench) -> None:
    nodes, tailnet, _ = bench
    tailnet.update_volatile(
        make_node(1).id, hostinfo={"RoutableIPs": ["192.168.1.0/24", "0.0.0.0/0", "::/0"]}
    )
    view = await nodes.approve_routes(1, ["192.168.1.7/24", "0.0.0.0/0"], actor=ACTOR)
    assert view.node.approved_routes == ("0.0.0.0/0", "192.168.1.0/24", "::/0")
    assert set(view.subnet_routes) == {"192.168.1.0/24", "0.0.0.0/0", "::/0"}
    with pytest.raises(InvalidError, match="`x`"):
        await nodes.approve_routes(1, ["x"], actor=ACTOR)


async def test_routes_the_policy_approves_need_nobody(bench: Bench) -> None:
    nodes, tailnet, _ = bench
    tailnet.update_volatile(make_node(1).id, hostinfo={"RoutableIPs": ["10.1.0.0/16", "192.168.0.0/16"]})
    await nodes.hostinfo_changed(make_node(1).id)
    assert nodes.get(1).node.approved_routes == ("10.1.0.0/16",)


async def test_unknown_nodes(bench: Bench) -> None:
    nodes, _, _ = bench
    with pytest.raises(NotFoundError):
        nodes.get(77)
    with pytest.raises(NotFoundError):
        await nodes.delete(77, actor=ACTOR)


async def test_lists_by_user(bench: Bench) -> None:
    nodes, _, _ = bench
    assert len(nodes.list("user1")) == 2
    assert nodes.list("user2") == []


async def test_what_changes_nothing_records_nothing(bench: Bench) -> None:
    nodes, _, store = bench
    at = NOW + timedelta(days=1)
    for _ in range(2):
        await nodes.rename(1, "chosen", actor=ACTOR)
        await nodes.approve_routes(1, ["10.0.0.0/8"], actor=ACTOR)
        await nodes.expire(2, at=at, actor=ACTOR)
        await nodes.set_tags(1, ["tag:a"], actor=ACTOR)
    actions = [entry.action for commit in store.commits for entry in commit.audit]
    assert actions == ["node.rename", "route.approve", "node.expire", "node.tag"]
