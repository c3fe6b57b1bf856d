"""Profiles as the policy is now."""

from __future__ import annotations

import pytest

from coordinator.services.wireguard_reach import NOTHING
from coordinator.tailnet.errors import InvalidError
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


async def test_what_gateways_cannot_do_is_refused() -> None:
    async with wireguard_bench() as bench:
        profiles = {profile.name.text: profile for profile in bench.access.rules.profiles()}
        bench.wireguard.reach.require_supported(profiles["db"])
        with pytest.raises(InvalidError, match="gre"):
            bench.wireguard.reach.require_supported(profiles["tunnel"])
