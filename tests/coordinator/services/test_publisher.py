"""The next snapshot, and whom it concerns."""

from __future__ import annotations

from dataclasses import replace

from coordinator.services.publisher import Publisher
from coordinator.tailnet.state import ChangeSet, TailnetState
from tests.support.builders import make_node, make_user
from tests.support.tailnets import make_world


def publisher() -> Publisher:
    made = Publisher(make_world(TailnetState()), associated_domains=(), auto_updates=False)
    user = make_user(1)
    nodes = {node.id: node for node in (make_node(number) for number in (1, 2, 3))}
    made.apply(ChangeSet(put_users={user.id: user}, put_nodes=nodes))
    return made


def test_a_former_snapshot_is_not_changed() -> None:
    made = publisher()
    before = made.world.snapshot
    seen = dict(before.records)
    made.apply(ChangeSet(delete_nodes={make_node(1).id}, put_nodes={make_node(4).id: make_node(4)}))
    assert dict(before.records) == seen
    assert made.world.snapshot.seq == before.seq + 1


def test_an_index_is_given_again_and_the_log_knows_the_former_holder() -> None:
    made = publisher()
    seq = made.world.snapshot.seq
    made.apply(ChangeSet(delete_nodes={make_node(2).id}))
    made.apply(ChangeSet(put_nodes={make_node(9).id: make_node(9)}))
    assert made.world.snapshot.index_of[make_node(9).id] == 1
    assert [(removal.index, removal.node_id) for removal in made.world.log.removals_since(seq)] == [(1, 2)]


def test_a_change_concerns_those_who_see_the_node() -> None:
    made = publisher()
    assert made.update([replace(make_node(1), home_derp=900)]) == 0b111


def test_nothing_new_concerns_nobody() -> None:
    made = publisher()
    assert made.update([make_node(1)]) == 0


def test_owner_sets_follow_tags() -> None:
    made = publisher()
    tagged = make_node(1, tags=("tag:a",))
    made.apply(ChangeSet(put_nodes={tagged.id: tagged}))
    assert made.world.snapshot.owner_bits == {1: 0b110, 2147455555: 0b001}
