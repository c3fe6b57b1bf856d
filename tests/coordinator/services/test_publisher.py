"""The next snapshot, and whom it concerns."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from acl import parse_policy
from coordinator.services.publisher import Publisher
from coordinator.tailcfg.derp_map import DERPMap
from coordinator.tailnet.errors import InvalidError
from coordinator.tailnet.state import ChangeSet, TailnetState
from tests.support.builders import NOW, make_node, make_user
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


def test_only_what_is_shown_of_a_user_concerns_everybody() -> None:
    made = publisher()
    seq = made.world.snapshot.users_seq
    user = make_user(1, suspended_at=NOW)
    assert made.apply(ChangeSet(put_users={user.id: user})) == 0
    assert made.apply(ChangeSet(put_users={make_user(2).id: make_user(2)})) == 0
    assert made.world.snapshot.users_seq == seq
    renamed = make_user(1, display_name="Ada")
    assert made.apply(ChangeSet(put_users={renamed.id: renamed})) == 0b111
    assert made.world.snapshot.users_seq == made.world.snapshot.seq


def test_a_role_that_changes_addresses_is_told_to_peers() -> None:
    """Pitfall: an attribute by role hides a node's IPv4 address; whoever sees the node must hear of it."""
    policy = """{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
        "nodeAttrs": [{"target": ["autogroup:admin"], "attr": ["disable-ipv4"]}]}"""
    made = publisher()
    made.replace_policy(parse_policy(policy))
    user, node = make_user(2), make_node(4, user_id=2)
    made.apply(ChangeSet(put_users={user.id: user}, put_nodes={node.id: node}))
    admin = make_user(2, role="admin")
    assert made.apply(ChangeSet(put_users={admin.id: admin})) == 0b1111
    changed = {
        record.node.id
        for record in made.world.snapshot.records.values()
        if record.full_seq == made.world.snapshot.seq
    }
    assert changed == {4}


def test_a_viewer_with_another_owner_compares_the_routes_it_gets() -> None:
    made = publisher()
    before = made.world.special_seq
    made.apply(ChangeSet(put_nodes={make_node(1).id: make_node(1, tags=("tag:a",))}))
    assert made.world.special_seq == made.world.snapshot.seq > before


def test_other_relays_or_dns_concern_everybody_once() -> None:
    made = publisher()
    seq, config = made.world.snapshot.seq, made.world.config
    assert made.configure(config) == 0
    assert made.world.snapshot.seq == seq
    other = replace(config, base_domain="other.lab")
    assert made.configure(other) == 0b111
    assert made.world.config is other
    assert made.world.config_seq == made.world.snapshot.seq == seq + 1


def test_relays_that_do_not_go_with_the_policy_change_nothing() -> None:
    made = publisher()
    config = made.world.config
    (number,) = config.derp_map.regions
    relays = {"Regions": {number: None, "7": {"Nodes": []}}}
    made.replace_policy(parse_policy(json.dumps({"derpMap": relays})))
    merged = made.world.config
    assert set(merged.derp_map.regions) == {"7"}
    made.replace_policy(parse_policy('{"derpMap": {"Regions": {"7": null}}}'))
    (region,) = config.derp_map.regions.values()
    alone = DERPMap(regions={"7": region})
    with pytest.raises(InvalidError, match="leaves no region"):
        made.configure(replace(config, derp_map=alone, derp_map_unpinned=alone))
    assert made.configured == config
