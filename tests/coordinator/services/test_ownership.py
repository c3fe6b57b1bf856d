"""Whose a node is, and which addresses it has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network

import pytest

from coordinator.services.nodes import NodeService
from coordinator.services.ownership import OwnershipService, parse_addresses
from coordinator.services.registration import RegistrationSettings
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.addresses import Prefixes
from coordinator.tailnet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from coordinator.tailnet.state import TailnetState
from tests.support.builders import NOW, machine_key, make_node, make_user
from tests.support.tailnets import PREFIXES, MemoryStore, make_tailnet

ACTOR = Actor(kind="socket", name="test")
POLICY = """{"tagOwners": {"tag:a": ["user1@"]},
  "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}"""


@dataclass
class Bench:
    ownership: OwnershipService
    nodes: NodeService
    tailnet: Tailnet
    store: MemoryStore


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Node 1 of user 1, 2 tagged, 3 and 4 of the users 1 and 2 on one machine. User 3 is suspended."""
    users = {user.id: user for user in (make_user(1), make_user(2), make_user(3, suspended_at=NOW))}
    shared = machine_key(3)
    made = [
        make_node(1, expiry=NOW + timedelta(days=7)),
        make_node(2, tags=("tag:a",)),
        make_node(3, machine_key=shared),
        make_node(4, machine_key=shared, user_id=2),
    ]
    state = TailnetState(users=users, nodes={node.id: node for node in made})
    tailnet, store, _ = make_tailnet(state, policy=POLICY)
    tailnet.start()
    settings = RegistrationSettings(prefixes=PREFIXES, key_lifetime=timedelta(days=90))
    yield Bench(OwnershipService(tailnet, settings), NodeService(tailnet), tailnet, store)
    await tailnet.close()


async def test_a_moved_node_keeps_everything_but_its_owner(bench: Bench) -> None:
    before = bench.nodes.get(1).node
    after = await bench.ownership.move(1, 2, actor=ACTOR)
    assert (before.user_id, after.user_id) == (1, 2)
    assert (after.node_key, after.expiry, after.addresses) == (
        before.node_key,
        before.expiry,
        before.addresses,
    )
    assert bench.nodes.get(1).user == bench.tailnet.snapshot.users[after.user_id]
    (entry,) = bench.store.commits[0].audit
    assert (entry.action, entry.before, entry.after) == ("node.move", {"user": 1}, {"user": 2})
    await bench.ownership.move(1, 2, actor=ACTOR)
    assert len(bench.store.commits) == 1, "moving to the present owner changes nothing"


async def test_moves_that_are_refused(bench: Bench) -> None:
    with pytest.raises(
        ConflictError, match=r"user `user2` has a node of this machine already: `node4` \(id 4\)"
    ):
        await bench.ownership.move(3, 2, actor=ACTOR)
    with pytest.raises(InvalidError, match="nodes untag --identifier 2 --user user1"):
        await bench.ownership.move(2, 1, actor=ACTOR)
    with pytest.raises(ForbiddenError, match="`user3` is suspended"):
        await bench.ownership.move(1, 3, actor=ACTOR)
    for node_id, user_id in ((9, 1), (1, 9)):
        with pytest.raises(NotFoundError):
            await bench.ownership.move(node_id, user_id, actor=ACTOR)
    assert bench.store.commits == []


async def test_an_untagged_node_gets_an_owner_and_an_end(bench: Bench) -> None:
    node = await bench.ownership.untag(2, 1, actor=ACTOR)
    assert (node.tags, node.user_id, node.expiry) == ((), 1, NOW + timedelta(days=90))
    with pytest.raises(InvalidError, match="`nodes move` changes its user"):
        await bench.ownership.untag(2, 1, actor=ACTOR)


async def test_an_expired_key_is_not_brought_back_by_untagging(bench: Bench) -> None:
    await bench.nodes.expire(2, actor=ACTOR)
    assert (await bench.ownership.untag(2, 1, actor=ACTOR)).expiry == NOW


async def test_one_machine_is_tagged_once(bench: Bench) -> None:
    await bench.nodes.set_tags(3, ["tag:a"], actor=ACTOR)
    with pytest.raises(ConflictError, match=r"a tagged node of this machine already: `node3` \(id 3\)"):
        await bench.nodes.set_tags(4, ["tag:a"], actor=ACTOR)
    with pytest.raises(ConflictError, match="`node4`"):
        await bench.ownership.untag(3, 2, actor=ACTOR)


async def test_an_address_replaces_the_one_of_its_family(bench: Bench) -> None:
    before = bench.nodes.get(1).node
    node = await bench.ownership.set_addresses(1, ["100.64.7.7"], actor=ACTOR)
    assert (str(node.ipv4), node.ipv6) == ("100.64.7.7", before.ipv6)
    node = await bench.ownership.set_addresses(1, [" fd7a:115c:a1e0::77"], actor=ACTOR)
    assert [str(address) for address in node.addresses] == ["100.64.7.7", "fd7a:115c:a1e0::77"]
    node = await bench.ownership.set_addresses(1, ["fd7a:115c:a1e0::8", "100.64.8.8"], actor=ACTOR)
    assert [str(address) for address in node.addresses] == ["100.64.8.8", "fd7a:115c:a1e0::8"]
    commits = len(bench.store.commits)
    await bench.ownership.set_addresses(1, ["100.64.8.8"], actor=ACTOR)
    assert len(bench.store.commits) == commits
    # What it had is free now.
    assert await bench.ownership.set_addresses(2, ["100.64.7.7", str(before.ipv6)], actor=ACTOR)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "at least one address"),
        (["x"], "`x` is not an address"),
        (["100.64.0.0/24"], "is not an address"),
        (["fe80::1%eth0"], "has a zone"),
        (["10.0.0.1"], "not in the tailnet's prefix 100.64.0.0/10"),
        (["100.64.0.0"], "reserved"),
        (["100.100.100.100"], "reserved"),
        (["fd7a:115c:a1e0::53"], "reserved"),
        (["100.64.0.8", "100.64.0.9"], "both IPv4"),
    ],
)
async def test_addresses_no_node_may_have(bench: Bench, texts: list[str], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        await bench.ownership.set_addresses(1, texts, actor=ACTOR)


async def test_an_address_in_use_names_its_holder(bench: Bench) -> None:
    with pytest.raises(ConflictError, match=r"100.64.0.2 belongs to node `node2` \(id 2\)"):
        await bench.ownership.set_addresses(1, ["100.64.0.2", "fd7a:115c:a1e0::99"], actor=ACTOR)
    with pytest.raises(ConflictError):
        await bench.ownership.set_addresses(1, ["100.64.9.9", "fd7a:115c:a1e0::2"], actor=ACTOR)
    assert str(bench.nodes.get(1).node.ipv4) == "100.64.0.1", "nothing is half applied"


def test_a_family_the_tailnet_does_not_have() -> None:
    prefixes = Prefixes(v4=ip_network("100.64.0.0/10"), v6=None)  # type: ignore[arg-type]
    with pytest.raises(InvalidError, match="no IPv6 addresses"):
        parse_addresses(["fd7a:115c:a1e0::1"], prefixes)
