"""What is read from a Hostinfo, and what of it others see."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.tailcfg import hostinfo

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(["Hostname", "RequestTags", "RoutableIPs", "NetInfo", "OS", "Services"])


def test_routes_are_made_canonical_and_junk_is_left_out() -> None:
    info = {"RoutableIPs": ["10.0.0.1/24", "10.0.0.0/24", "nonsense", 7, "::/0"]}
    assert hostinfo.routable_ips(info) == ("10.0.0.0/24", "::/0")


def test_peers_do_not_see_what_is_private() -> None:
    info = {"OS": "linux", "Hostname": "a", "NetInfo": {}, "BackendLogID": "x", "RequestTags": ["tag:a"]}
    assert hostinfo.peer_view(info) == {"OS": "linux", "Hostname": "a"}


def test_a_hostinfo_without_netinfo_keeps_the_home_relay() -> None:
    """Pitfall: HomeDERP must not flip to 0 because a later Hostinfo does not mention NetInfo."""
    merged = hostinfo.merge({"NetInfo": {"PreferredDERP": 900}, "OS": "old"}, {"Hostname": "new"})
    assert hostinfo.preferred_derp(merged) == 900
    assert merged["Hostname"] == "new"
    assert "OS" not in merged


@given(st.dictionaries(FIELDS, JSON))
def test_no_document_breaks_a_reader(info: dict[str, object]) -> None:
    hostinfo.hostname(info)
    hostinfo.request_tags(info)
    hostinfo.routable_ips(info)
    hostinfo.preferred_derp(info)
    hostinfo.peer_view(info)
