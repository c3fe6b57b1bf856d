"""Full maps and tombstones."""

from __future__ import annotations

import pytest

from acl import parse_policy
from coordinator.netmap.builder import full_map, tombstone
from coordinator.netmap.fragments import BLOCK_BITS
from coordinator.netmap.world import World
from coordinator.services.publisher import Publisher
from coordinator.tailcfg.framing import frame
from coordinator.tailnet.state import ChangeSet, TailnetState
from tests.support.builders import NOW, make_node, make_user
from tests.support.tailnets import ALLOW_ALL, decode_message, make_world


def world_of(*nodes, policy: str = ALLOW_ALL) -> World:  # type: ignore[no-untyped-def]
    world = make_world(TailnetState(), parse_policy(policy))
    user = make_user(1)
    changes = ChangeSet(put_users={user.id: user}, put_nodes={node.id: node for node in nodes})
    Publisher(world, associated_domains=(), auto_updates=False).apply(changes)
    return world


def document(world: World, index: int) -> dict:  # type: ignore[type-arg]
    frames, _ = full_map(world, world.snapshot.records[index], pinning=True, now=NOW)
    return decode_message(frame(frames))


@pytest.mark.parametrize("count", [1, 2, 3, BLOCK_BITS, BLOCK_BITS + 1, 2 * BLOCK_BITS + 3])
def test_every_number_of_peers_makes_a_valid_document(count: int) -> None:
    world = world_of(*(make_node(number) for number in range(1, count + 1)))
    for index in {0, count // 2, count - 1}:
        peers = document(world, index).get("Peers", [])
        assert sorted(peer["ID"] for peer in peers) == [n for n in range(1, count + 1) if n != index + 1]


def test_blocks_are_shared_by_viewers() -> None:
    world = world_of(*(make_node(number) for number in range(1, 4 * BLOCK_BITS + 1)))
    for index in range(4 * BLOCK_BITS):
        document(world, index)
    # Each viewer needs a block of its own only where it is itself a member, or the first peer is left out.
    assert world.fragments.blocks.hits > 2 * world.fragments.blocks.misses


def test_peers_learn_nothing_private() -> None:
    secret = make_node(
        2, hostinfo={"Hostname": "b", "OS": "linux", "BackendLogID": "private", "NetInfo": {"x": 1}}
    )
    (peer,) = document(world_of(make_node(1), secret), 0)["Peers"]
    assert "Machine" not in peer
    assert peer["Hostinfo"] == {"Hostname": "b", "OS": "linux"}


def test_an_empty_filter_is_said_aloud() -> None:
    """Pitfall: an absent filter means "unchanged", and an absent peer list clears nothing."""
    told = document(world_of(make_node(1), make_node(2), policy='{"acls": []}'), 0)
    assert told["PacketFilters"] == {"base": []}
    assert told["SSHPolicy"] == {"rules": []}
    assert "Peers" not in told


def test_no_key_is_an_empty_text() -> None:
    """Pitfall: an empty text where a key is due makes clients drop the whole document."""
    told = document(world_of(make_node(1, disco_key=None), make_node(2)), 0)
    assert '""' not in str(told["Node"]).replace("'", '"')
    assert "DiscoKey" not in told["Node"]


def test_a_zero_expiry_is_left_out() -> None:
    assert "KeyExpiry" not in document(world_of(make_node(1)), 0)["Node"]


def test_online_nodes_have_no_last_seen() -> None:
    online = make_node(2, online=True, last_seen=NOW)
    offline = make_node(3, last_seen=NOW)
    peers = {peer["ID"]: peer for peer in document(world_of(make_node(1), online, offline), 0)["Peers"]}
    assert peers[2]["Online"] is True
    assert "LastSeen" not in peers[2]
    assert (peers[3]["Online"], peers[3]["LastSeen"]) == (False, "2026-06-01T12:00:00Z")


def test_a_tombstone_expires_exactly_the_key_that_was_asked_for() -> None:
    world = world_of(make_node(1))
    frames = tombstone(world, node_key="nodekey:aa", machine_key="mkey:bb", pinning=True, now=NOW)
    told = decode_message(frame(frames))
    assert (told["Node"]["Key"], told["Node"]["Machine"]) == ("nodekey:aa", "mkey:bb")
    assert told["Node"]["KeyExpiry"] < "2001"
    assert told["DERPMap"]["Regions"], "without it the client has no relay after its next login"
    assert told["PacketFilters"] == {"base": []}
    assert "Peers" not in told
