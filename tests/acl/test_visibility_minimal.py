"""Visibility is minimal: two nodes see each other exactly when a rule in the filter of one covers the other.

Derived here a second time, from the filters that nodes really get, by plain comparison of addresses; via
grants, which make peers visible without a rule, are left out of the generated policies.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

import acl
from tests.acl.tailnets import index, names, node, policy

SELECTORS = st.sampled_from(
    [
        "*",
        "alice@",
        "bob@",
        "autogroup:member",
        "autogroup:tagged",
        "tag:server",
        "tag:db",
        "100.64.0.3",
        "10.7.0.0/16",
    ]
)
PORTS = st.sampled_from(["*", "22", "80,443", "1-100"])
ACLS = st.lists(
    st.builds(
        lambda src, dst, ports: {"action": "accept", "src": src, "dst": [f"{each}:{ports}" for each in dst]},
        st.lists(SELECTORS, min_size=1, max_size=2),
        st.lists(SELECTORS, min_size=1, max_size=2),
        PORTS,
    ),
    max_size=3,
)
GRANTS = st.lists(
    st.builds(
        lambda src, dst: {"src": [src], "dst": [dst], "app": {"example.com/cap/x": [{}]}},
        SELECTORS,
        SELECTORS,
    ),
    max_size=1,
)
OWNERS = st.lists(st.sampled_from([1, 2, 3, "tag:server", "tag:db"]), min_size=2, max_size=7)
ROUTES = st.sampled_from([(), (), (), ("10.7.1.0/24",), ("10.0.0.0/8",), ("0.0.0.0/0", "::/0")])


def covers(source: str, fact: acl.NodeFact) -> bool:
    """Whether a source string of a filter means a node: one of its addresses, or a subnet it routes."""
    own = [ip_network(str(address)) for address in (fact.ipv4, fact.ipv6) if address is not None]
    own += [ip_network(route) for route in fact.approved_routes if route not in ("0.0.0.0/0", "::/0")]
    if "-" in source:
        first, last = (ip_address(text) for text in source.split("-"))
        return any(
            net.version == first.version and first <= net.broadcast_address and net.network_address <= last
            for net in own
        )
    wanted = ip_network(source)
    return any(net.version == wanted.version and net.overlaps(wanted) for net in own)


@settings(max_examples=200, deadline=None)
@given(ACLS, GRANTS, OWNERS, st.data())
def test_a_peer_is_visible_exactly_when_a_rule_needs_it(
    acls: list[object], grants: list[object], owners: list[int | str], data: st.DataObject
) -> None:
    facts = [
        node(number, owner, approved_routes=data.draw(ROUTES)) for number, owner in enumerate(owners, start=1)
    ]
    subject = index(policy(acls=acls, grants=grants), *facts)
    rules = {fact.id: subject.filter_rules(fact.id) for fact in facts}
    for viewer in facts:
        expected = [
            peer.id
            for peer in facts
            if peer.id != viewer.id
            and (
                any(covers(source, viewer) for rule in rules[peer.id] for source in rule.src)
                or any(covers(source, peer) for rule in rules[viewer.id] for source in rule.src)
            )
        ]
        assert names(subject.peers(viewer.id)) == expected
