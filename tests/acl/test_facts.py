"""Facts: whose a node is."""

from __future__ import annotations

from acl import TailnetFacts
from tests.acl.tailnets import node


def test_a_tagged_node_belongs_to_its_tags() -> None:
    assert node(1, 1).owner == 1
    assert node(1, "tag:server", user_id=1).owner is None
    assert node(1, ()).owner is None


def test_domains_rules_may_name() -> None:
    assert TailnetFacts(associated_domains=None).owns("example.com")
    assert TailnetFacts(associated_domains=("example.com",)).owns("example.com")
    assert not TailnetFacts(associated_domains=("example.com",)).owns("example.org")
    assert not TailnetFacts().owns("example.com")
