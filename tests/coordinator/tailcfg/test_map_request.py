"""Endpoints of a MapRequest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.tailcfg.map_request import MAX_ENDPOINTS, usable_endpoints


def test_good_endpoints_stay_in_order() -> None:
    assert usable_endpoints(["192.0.2.1:41641", "[2001:db8::1]:41641"]) == (
        "192.0.2.1:41641",
        "[2001:db8::1]:41641",
    )


def test_zones_link_local_and_junk_go() -> None:
    assert (
        usable_endpoints(["[fe80::1]:1", "[2001:db8::1%eth0]:1", "a:1", "1.2.3.4:70000", "1.2.3.4", ""]) == ()
    )


def test_repetitions_go_and_the_number_is_bounded() -> None:
    many = [f"10.0.{n}.1:1" for n in range(100)]
    assert len(usable_endpoints(many + many)) == MAX_ENDPOINTS


@given(st.lists(st.text(max_size=30), max_size=10))
def test_any_text_is_taken_or_dropped(texts: list[str]) -> None:
    assert len(usable_endpoints(texts)) <= len(texts)
