"""A draft becomes what a fresh engine would be, whatever happened while it was compiled."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from acl import NodeFact, PolicyIndex
from tests.acl.tailnets import FACTS, index, node, policy

RULES = {"acls": [{"action": "accept", "src": ["alice@example.com", "tag:server"], "dst": ["tag:server:22"]}],
         "tagOwners": {"tag:server": []}}  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_nodes_may_come_go_and_change_meanwhile(seed: int) -> None:
    random = Random(seed)
    nodes = [node(number, random.choice([1, 2, "tag:server"])) for number in range(1, 15)]
    idx = PolicyIndex(policy(acls=[]), FACTS, nodes)
    draft = idx.draft(policy(**RULES))
    draft.compile()
    for _ in range(10):
        number = random.randint(1, 20)
        if random.random() < 0.5:
            idx.remove(number)
        else:
            idx.upsert(node(number, random.choice([1, 2, "tag:server"])))
    idx.adopt(draft)
    present = list(idx.engine.nodes.by_id.values())
    fresh = PolicyIndex(policy(**RULES), FACTS, present)
    for fact in present:
        assert idx.peers(fact.id) == fresh.peers(fact.id)
        assert idx.filter_rules(fact.id) == fresh.filter_rules(fact.id)
        assert idx.default_view(fact.id) == fresh.default_view(fact.id)


def test_other_users_meanwhile() -> None:
    first: NodeFact = node(1, 1)
    idx = PolicyIndex(policy(acls=[]), FACTS, [first, node(2, "tag:server")])
    draft = idx.draft(policy(**RULES))
    draft.compile()
    idx.replace_facts(replace(FACTS, users=()))
    idx.adopt(draft)
    assert idx.peers(1) == 0


def test_problems_are_known_and_a_used_draft_still_works() -> None:
    idx = index(policy(acls=[]), node(1, 1))
    wrong = idx.draft(policy(tests=[{"src": "alice@example.com", "accept": ["192.0.2.1:22"]}], acls=[]))
    wrong.compile()
    assert [problem.code for problem in wrong.problems] == ["test-failed"]
    draft = idx.draft(policy(acls=[]))
    draft.compile()
    assert draft.problems == ()
    assert idx.adopt(draft) == idx.adopt(draft) == 0


def test_views_are_kept_unless_they_change() -> None:
    idx = index(policy(acls=[]), node(1, 1), node(2, 2))
    view = idx.default_view(1)
    idx.replace_policy(policy(acls=[], nodeAttrs=[{"target": ["*"], "attr": ["magicdns-aaaa"]}]))
    assert idx.default_view(1) is view
    idx.replace_policy(policy(acls=[], nodeAttrs=[{"target": ["*"], "attr": ["disable-ipv4"]}]))
    assert len(idx.default_view(1).addresses) == 1
