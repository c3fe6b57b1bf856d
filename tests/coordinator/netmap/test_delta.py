"""Differences; the random model is in tests/scenarios/test_equality.py."""

from __future__ import annotations

import pytest

from acl import parse_policy
from coordinator.netmap.builder import full_map
from coordinator.netmap.delta import SessionLostError, next_message
from coordinator.services.publisher import Publisher
from coordinator.tailnet.state import ChangeSet
from tests.coordinator.netmap.test_builder import world_of
from tests.support.builders import NOW, make_node, make_user
from tests.support.tailnets import decode_message


def test_nothing_new_is_no_message_but_moves_on() -> None:
    world = world_of(make_node(1), make_node(2))
    _, state = full_map(world, world.snapshot.records[0], pinning=True, now=NOW)
    document, moved = next_message(world, state)
    assert document is None
    assert moved.seq == world.snapshot.seq


def test_one_leaves_and_another_takes_its_index() -> None:
    """Pitfall: the old id has to go, also when its index is taken again in the same moment."""
    world = world_of(make_node(1), make_node(2))
    _, state = full_map(world, world.snapshot.records[0], pinning=True, now=NOW)
    publisher = Publisher(world, associated_domains=(), auto_updates=False)
    publisher.apply(ChangeSet(delete_nodes={make_node(2).id}))
    publisher.apply(ChangeSet(put_nodes={make_node(3).id: make_node(3)}))
    assert world.snapshot.index_of[make_node(3).id] == 1
    document, _ = next_message(world, state)
    assert document is not None
    told = decode_message(document)
    assert told["PeersRemoved"] == [2]
    assert [peer["ID"] for peer in told["PeersChanged"]] == [3]


def test_the_same_difference_is_made_once_for_all() -> None:
    world = world_of(*(make_node(number) for number in range(1, 30)))
    states = [full_map(world, world.snapshot.records[index], pinning=True, now=NOW)[1] for index in range(28)]
    publisher = Publisher(world, associated_domains=(), auto_updates=False)
    publisher.update([make_node(29, endpoints=("192.0.2.1:1",))])
    messages = {next_message(world, state)[0] for state in states}
    assert len(messages) == 1
    assert (world.fragments.deltas.misses, world.fragments.deltas.hits) == (1, 27)


def test_a_session_of_a_node_that_is_gone_is_lost() -> None:
    world = world_of(make_node(1), make_node(2))
    _, state = full_map(world, world.snapshot.records[0], pinning=True, now=NOW)
    Publisher(world, associated_domains=(), auto_updates=False).apply(
        ChangeSet(delete_nodes={make_node(1).id})
    )
    with pytest.raises(SessionLostError):
        next_message(world, state)


def test_relays_of_the_policy_reach_everybody_once() -> None:
    world = world_of(make_node(1), make_node(2))
    publisher = Publisher(world, associated_domains=(), auto_updates=False)
    states = [full_map(world, world.snapshot.records[i], pinning=True, now=NOW)[1] for i in (0, 1)]
    region = '{"RegionID": 901, "RegionCode": "own", "Nodes": [{"HostName": "relay.example.com"}]}'
    policy = parse_policy(f'{{"derpMap": {{"Regions": {{"901": {region}}}}}}}')
    assert publisher.replace_policy(policy) == 0b11
    for state in states:
        document, moved = next_message(world, state)
        assert document is not None
        assert set(decode_message(document)["DERPMap"]["Regions"]) == {"900", "901"}
        assert "DNSConfig" not in decode_message(document)
        assert next_message(world, moved)[0] is None
    assert publisher.replace_policy(policy) == 0
    publisher.replace_policy(None)
    document, _ = next_message(world, moved)
    assert document is not None
    assert set(decode_message(document)["DERPMap"]["Regions"]) == {"900"}


def test_a_user_nobody_was_told_of_comes_with_what_makes_clients_show_them() -> None:
    """Pitfall: clients from 1.100 on keep showing `userid:2` after an incremental message."""
    world = world_of(make_node(1), make_node(2))
    publisher = Publisher(world, associated_domains=(), auto_updates=False)
    _, state = full_map(world, world.snapshot.records[0], pinning=True, now=NOW)
    publisher.apply(ChangeSet(put_users={make_user(2).id: make_user(2)}))
    assert next_message(world, state)[0] is None, "a user without nodes is told to nobody"
    publisher.apply(ChangeSet(put_nodes={make_node(2).id: make_node(2, user_id=2)}))
    document, _ = next_message(world, state)
    assert document is not None
    told = decode_message(document)
    assert [profile["LoginName"] for profile in told["UserProfiles"]] == ["user2"]
    assert told["Domain"] == world.config.domain
