"""Plain WireGuard peers in a policy: what they reach, who reaches them, and who is told."""

from __future__ import annotations

from dataclasses import replace

import acl
from acl.access import access_changes
from tests.acl.tailnets import FACTS, names, node, policy

PEERS = {"laptop": ("10.99.0.2", "fd00:99::2"), "phone": ("10.99.0.3",)}
RULES = [
    {"action": "accept", "src": ["wg:laptop"], "dst": ["tag:server:443", "10.1.0.0/16:22"], "proto": "tcp"},
    {"action": "accept", "src": ["tag:client"], "dst": ["wg:laptop:5432-5433"]},
    {"action": "accept", "src": ["wg:phone", "wg:nobody"], "dst": ["tag:db:*"]},
]


def tailnet(peers: dict[str, tuple[str, ...]] | None = None) -> acl.PolicyIndex:
    gateway = node(9, "tag:router", approved_routes=("10.99.0.0/24",))
    return acl.PolicyIndex(
        policy(acls=RULES),
        replace(FACTS, peers=PEERS if peers is None else peers),
        [node(1, "tag:server"), node(2, "tag:client"), node(3, "tag:db"), gateway],
    )


def test_both_directions_of_a_peer() -> None:
    assert tailnet().reach("laptop") == acl.Reach(
        outbound=(
            acl.ReachRule(("10.1.0.0/16",), (6,), ((22, 22),)),
            acl.ReachRule(("100.64.0.1/32", "fd7a:115c:a1e0::1/128"), (6,), ((443, 443),)),
        ),
        inbound=(acl.ReachRule(("100.64.0.2/32", "fd7a:115c:a1e0::2/128"), (), ((5432, 5433),)),),
    )
    assert tailnet().reach("phone").outbound[0].ports == ()
    assert tailnet().reach("nobody") == acl.Reach()


def test_the_way_leads_through_the_gateway_node() -> None:
    index = tailnet()
    assert names(index.peers(1)) == [9]  # the server answers the laptop
    assert names(index.peers(2)) == [9]  # the client asks it
    assert names(index.peers(9)) == [1, 2, 3]
    assert [rule.src for rule in index.filter_rules(1)] == [("10.99.0.2", "fd00:99::2")]
    assert [(rule.src, rule.dst_ports[0].ip) for rule in index.filter_rules(9)] == [
        (("100.64.0.2", "fd7a:115c:a1e0::2"), "10.99.0.2")
    ]


def test_peers_come_go_and_move() -> None:
    index = tailnet()
    assert index.replace_facts(replace(index.facts, peers={**PEERS, "unspoken": ("10.99.0.77",)})) == 0
    changed = index.replace_facts(replace(index.facts, peers={"phone": PEERS["phone"]}))
    assert names(changed) == [1, 2, 9]
    assert names(index.peers(2)) == []
    assert index.reach("laptop") == acl.Reach()
    assert names(index.replace_facts(replace(index.facts, peers=PEERS))) == [1, 2, 9]


def test_a_wildcard_means_the_tailnet_and_its_routes() -> None:
    everything = policy(acls=[{"action": "accept", "src": ["*"], "dst": ["*:*"]}])
    facts = replace(FACTS, peers=PEERS)
    gateway = node(9, "tag:router", approved_routes=("10.99.0.0/24",))
    (rule,) = acl.PolicyIndex(everything, facts, [gateway]).reach("phone").outbound
    assert rule.networks[0] == "10.99.0.0/24"
    assert "100.64.0.0/11" in rule.networks
    assert acl.PolicyIndex(everything, facts, []).reach("phone").outbound == ()


def test_explanations_and_tests_know_peers() -> None:
    index = tailnet()
    assert acl.explain(index, "wg:laptop", "tag:server", 443).allowed
    assert not acl.explain(index, "wg:phone", "tag:server", 443).allowed
    assert acl.explain(index, "wg:missing", "n1", 443).reason == "`wg:missing` has no addresses here"
    checks = policy(acls=RULES, tests=[{"src": "wg:laptop", "accept": ["tag:server:443"], "deny": ["n:1"]}])
    (problem,) = index.check(checks)
    assert problem.help is not None and problem.help.startswith("tests[0]: `n` is not a known")


def test_a_review_names_peers() -> None:
    old = tailnet()
    facts = old.facts
    nodes = list(old.engine.nodes.by_id.values())
    new = acl.PolicyIndex(policy(acls=RULES[:1]), facts, nodes)
    changes = access_changes(old, new, nodes, facts.users, {})
    assert [str(change) for change in changes] == [
        "- n2 -> wg:laptop: any:5432-5433",
        "- wg:phone -> n3: any:*",
    ]


def test_an_open_window_counts_both_for_nodes_and_for_peers() -> None:
    profile = {"src": ["alice@"], "dst": ["wg:laptop:22"]}
    gateway = node(9, "tag:router", approved_routes=("10.99.0.0/24",))
    index = acl.PolicyIndex(
        policy(acls=[], access={"profiles": {"mgmt": profile}}),
        replace(FACTS, peers=PEERS),
        [node(1, 1), gateway],
    )
    assert index.reach("laptop") == acl.Reach()
    assert names(index.set_windows([acl.OpenWindow(id=1, profile="mgmt", nodes=(1,))])) == [1, 9]
    assert names(index.peers(1)) == [9]
    assert index.reach("laptop").inbound == (
        acl.ReachRule(("100.64.0.1/32", "fd7a:115c:a1e0::1/128"), (), ((22, 22),)),
    )
    index.set_windows([])
    assert index.reach("laptop") == acl.Reach()


def test_a_window_on_a_peer_follows_the_peer() -> None:
    profiles = {"db": {"src": ["bob@"], "dst": ["wg:laptop:5432"]}}
    gateway = node(9, "tag:router", approved_routes=("10.99.0.0/24",))
    index = acl.PolicyIndex(
        policy(acls=[], access={"profiles": profiles}), replace(FACTS, peers=PEERS), [node(1, 2), gateway]
    )
    assert names(index.set_windows([acl.OpenWindow(id=1, profile="db", nodes=(1,))])) == [1, 9]
    (inbound,) = index.reach("laptop").inbound
    assert inbound == acl.ReachRule(("100.64.0.1/32", "fd7a:115c:a1e0::1/128"), (), ((5432, 5432),))
    index.replace_facts(replace(index.facts, peers={"laptop": ("10.99.0.8",)}))
    (rule,) = index.filter_rules(9)
    assert [port.ip for port in rule.dst_ports] == ["10.99.0.8"]
    index.set_windows([])
    assert index.reach("laptop") == acl.Reach()


def test_a_profile_is_open_for_a_peer() -> None:
    profiles = {
        "web": {"src": ["bob@"], "dst": ["tag:server:443"], "proto": "tcp"},
        "fit": {"src": ["bob@"], "dst": ["tag:db:1"], "srcPosture": ["posture:x"]},
    }
    rules = policy(acls=[], access={"profiles": profiles}, postures={"posture:x": ["node:os == 'linux'"]})
    gateway = node(9, "tag:router", approved_routes=("10.99.0.0/24",))
    index = acl.PolicyIndex(rules, replace(FACTS, peers=PEERS), [node(1, "tag:server"), gateway])
    assert index.reach("laptop") == acl.Reach()
    opened = replace(index.facts, peer_profiles={"laptop": "web", "phone": "fit"})
    assert names(index.replace_facts(opened)) == [1, 9]
    assert names(index.peers(1)) == [9]
    assert [rule.src for rule in index.filter_rules(1)] == [("10.99.0.2", "fd00:99::2")]
    (rule,) = index.reach("laptop").outbound
    assert rule.ports == ((443, 443),)
    assert index.reach("phone") == acl.Reach()
    found = acl.explain(index, "wg:laptop", "tag:server", 443)
    assert (found.allowed, found.rule, found.source) == (True, "access.profiles[web]", "wg:laptop")
    assert names(index.replace_facts(replace(index.facts, peer_profiles={}))) == [1, 9]
    assert index.peers(1) == 0
