"""Names and dial plans."""

from __future__ import annotations

from dataclasses import replace

from coordinator.netmap.config import staggered_dial_plan
from tests.support.tailnets import map_config


def test_names_end_in_a_dot() -> None:
    """Pitfall: without the trailing dot or the base domain clients have no MagicDNS suffix."""
    assert map_config().fqdn("a") == "a.tail.lab."
    assert replace(map_config(), base_domain="").fqdn("a") == "a."


def test_the_domain_is_never_empty() -> None:
    assert replace(map_config(), base_domain="").domain


def test_all_dial_candidates_have_one_priority() -> None:
    plan = staggered_dial_plan("10.0.0.1")
    assert {candidate.ip for candidate in plan} == {"10.0.0.1"}
    assert len({candidate.priority for candidate in plan}) == 1
    assert [candidate.start_delay for candidate in plan] == sorted(
        candidate.start_delay for candidate in plan
    )
