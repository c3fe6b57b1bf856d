"""The DERP map."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.netmap.derp import EmbeddedRelay, build_derp_map, regions_from_document, with_policy_relays
from coordinator.tailcfg.codec import encode
from coordinator.tailnet.errors import InvalidError
from tests.support.tailnets import map_config

RELAY = EmbeddedRelay(
    region_id=999,
    region_code="home",
    region_name="Home",
    host="10.97.0.1",
    port=3443,
    stun_port=3478,
    certificate_sha256="ab" * 32,
)


def node(pinning: bool) -> dict[str, object]:
    document = json.loads(encode(build_derp_map([RELAY], (), pinning=pinning)))
    (found,) = document["Regions"]["999"]["Nodes"]
    return dict(found)


def test_new_clients_get_a_pin() -> None:
    assert node(True)["CertName"] == "sha256-raw:" + "ab" * 32
    assert "InsecureForTests" not in node(True)


def test_old_clients_get_no_pin() -> None:
    """Pitfall: clients before 1.82 take the pin for a host name and have no relay."""
    assert "CertName" not in node(False)
    assert node(False)["InsecureForTests"] is True


def test_an_address_as_host_switches_the_other_family_off() -> None:
    assert (node(True)["IPv4"], node(True)["IPv6"]) == ("10.97.0.1", "none")


def test_a_map_without_regions_is_refused() -> None:
    """Pitfall: clients without a region stay in Starting for ever."""
    with pytest.raises(InvalidError, match=r"derp\.server\.enabled"):
        build_derp_map([], (), pinning=True)


def test_both_spellings_of_a_file_are_read() -> None:
    low = {
        "regions": {
            901: {"regionid": 901, "regioncode": "a", "regionname": "A", "nodes": [{"hostname": "h"}]}
        }
    }
    high = {
        "Regions": {
            "901": {"RegionID": 901, "RegionCode": "a", "RegionName": "A", "Nodes": [{"HostName": "h"}]}
        }
    }
    assert regions_from_document(low, "f") == regions_from_document(high, "f")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "f: must be a mapping"),
        ({"regions": {"1": {"nodes": [{}]}}}, "region 1, node 1: hostname is missing"),
        ({"regions": {"x": {"nodes": []}}}, "`x` is not a number"),
        ({"regions": {"1": {"nodes": 3}}}, "nodes must be a list"),
    ],
)
def test_mistakes_are_named_with_their_place(document: object, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        regions_from_document(document, "f")


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["regions", "nodes", "1", "hostname", "stunport"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(JSON)
def test_any_document_is_read_or_refused(document: object) -> None:
    try:
        regions_from_document(document, "f")
    except InvalidError:
        return


OWN = {"901": {"RegionID": 901, "RegionCode": "own", "Nodes": [{"HostName": "relay.example.com"}]}}


@pytest.mark.parametrize(
    ("section", "regions"),
    [
        (None, ["900"]),
        ({"Regions": OWN}, ["900", "901"]),
        ({"OmitDefaultRegions": True, "Regions": OWN}, ["901"]),
        ({"Regions": {**OWN, "900": None}}, ["901"]),
    ],
)
def test_a_policy_has_its_say_about_relays(section: object, regions: list[str]) -> None:
    merged = with_policy_relays(map_config(), section)
    assert list(merged.derp_map.regions) == list(merged.derp_map_unpinned.regions) == regions


@pytest.mark.parametrize(
    "section", [{"OmitDefaultRegions": True}, {"Regions": {"900": None}}, {"Regions": {"x": {"Nodes": []}}}]
)
def test_a_policy_cannot_leave_clients_without_relay(section: object) -> None:
    with pytest.raises(InvalidError):
        with_policy_relays(map_config(), section)
