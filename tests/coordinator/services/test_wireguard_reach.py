"""Profiles as the policy is now."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from coordinator.services.wireguard_reach import NOTHING
from coordinator.tailnet.errors import InvalidError
from coordinator.wireguard.wire import Rule
from tests.support.wireguard_bench import ACTOR, policy_text, wireguard_bench
from tests.support.wireguard_records import make_peer


async def test_a_profile_and_its_changes() -> None:
    async with wireguard_bench() as bench:
        reach = bench.wireguard.reach
        assert reach.of(make_peer()) == NOTHING
        assert reach.of(make_peer(profile="gone")) == NOTHING
        # Once it was taken for what it was, a profile may be edited into one that gateways do not know.
        assert reach.of(make_peer(profile="tunnel")) == NOTHING
        assert reach.of(make_peer(profile="db")).routes == ("10.1.2.3/32",)
        assert reach.of(make_peer(profile="db")) is reach.of(make_peer(2, profile="db"))
        assert reach.inbound(make_peer(profile="db")) == ()
        assert not reach.refresh()
        await bench.policy.set(
            policy_text({"db": {"src": ["user1@"], "dst": ["10.7.0.0/16:*"]}}), actor=ACTOR
        )
        assert reach.of(make_peer(profile="db")).routes == ("10.7.0.0/16",)


async def test_the_gateways_own_name_servers_answer() -> None:
    async with wireguard_bench() as bench:
        await bench.gateway("named", "10.95.0.0/24", dns=("10.1.0.53", "1.1.1.1"))
        peer = await bench.peer(1, name="laptop", gateway="named", profile="db")
        reach = bench.wireguard.reach.of(peer)
        asking = ("10.1.0.53/32",), ((53, 53),)
        found = {(rule.networks, rule.ports, rule.proto) for rule in reach.rules}
        assert {(*asking, "udp"), (*asking, "tcp")} < found
        assert reach.routes == ("10.1.0.53/32", "10.1.2.3/32"), "a public one is reached without the tunnel"
        nothing = await bench.peer(2, name="printer", gateway="named")
        assert bench.wireguard.reach.of(nothing) == NOTHING


async def test_what_gateways_cannot_do_is_refused() -> None:
    async with wireguard_bench() as bench:
        profiles = {profile.name.text: profile for profile in bench.access.rules.profiles()}
        bench.wireguard.reach.require_supported(profiles["db"], bench.policy.written)
        with pytest.raises(InvalidError, match="gre"):
            bench.wireguard.reach.require_supported(profiles["tunnel"], bench.policy.written)


RULES = [
    {"action": "accept", "src": ["wg:laptop"], "dst": ["user1@:443", "wg:printer:9100"], "proto": "tcp"},
    {"action": "accept", "src": ["user1@"], "dst": ["wg:laptop:22"]},
    {"action": "accept", "src": ["wg:laptop"], "dst": ["user1@:*"], "proto": "icmp"},
]
NODE = ("100.64.0.1/32", "fd7a:115c:a1e0::1/128")


async def test_behind_a_node_of_the_tailnet_the_policys_rules_count() -> None:
    async with wireguard_bench() as bench:
        await bench.gateway("in", "10.95.0.0/24", tailnet=True)
        await bench.gateway("out", "10.96.0.0/24")
        await bench.policy.set(json.dumps({"acls": RULES}), actor=ACTOR)
        laptop = await bench.peer(1, name="laptop", gateway="in")
        printer = await bench.peer(2, name="printer", gateway="in")
        stranger = await bench.peer(3, name="stranger", gateway="out")
        bench.wished()
        reach, facts = bench.wireguard.reach, bench.tailnet.world.policy.facts
        assert set(facts.peers) == {"laptop", "printer"}, "nobody routes to the one outside"
        assert set(reach.of(laptop).rules) == {
            Rule(networks=NODE, proto="tcp", ports=((443, 443),)),
            Rule(networks=NODE, proto="icmp"),
            Rule(networks=(f"{printer.addresses[0]}/32",), proto="tcp", ports=((9100, 9100),)),
        }
        assert {(rule.networks, rule.proto, rule.ports) for rule in reach.inbound(laptop)} == {
            (NODE, "tcp", ((22, 22),)),
            (NODE, "udp", ((22, 22),)),
            (NODE, "icmp", ()),
        }
        assert "100.64.0.0/10" in reach.of(laptop).routes
        assert reach.of(stranger).rules == ()
        wish = bench.wireguard.wishes.current(laptop.gateway_id)
        assert wish is not None
        assert "100.64.0.0/10" in wish.unmasked
        assert wish.peers[0].inbound


async def test_a_peer_that_is_not_open_is_nobody_to_the_policy() -> None:
    async with wireguard_bench() as bench:
        await bench.gateway("in", "10.95.0.0/24", tailnet=True)
        await bench.peer(1, name="laptop", standing=False, until=bench.clock() + timedelta(hours=1))
        bench.wished()
        assert set(bench.tailnet.world.policy.facts.peers) == {"laptop"}
        bench.turn(hours=1)
        bench.wished()
        assert bench.tailnet.world.policy.facts.peers == {}


async def test_a_profile_reaches_machines_only_behind_a_node_of_the_tailnet() -> None:
    async with wireguard_bench() as bench:
        inside = await bench.gateway("in", "10.95.0.0/24", tailnet=True)
        outside = await bench.gateway("out", "10.96.0.0/24")
        profiles = {"web": {"src": ["user1@"], "dst": ["user1@:443"], "proto": "tcp"}}
        await bench.policy.set(policy_text(profiles), actor=ACTOR)
        reach = bench.wireguard.reach
        assert reach.of(make_peer(profile="web", gateway_id=inside.id)).routes == NODE
        assert reach.of(make_peer(2, profile="web", gateway_id=outside.id)).routes == ()
