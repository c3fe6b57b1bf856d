"""Addresses: what is read as one, how ranges are spelled, and range algebra."""

from __future__ import annotations

import ipaddress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acl.addresses import (
    INTERNET,
    TAILNET,
    inside_internet,
    make_range,
    merge_ranges,
    parse_prefix,
    parse_range,
    prefix_length,
    subtract_ranges,
)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1/32", "10.0.0.1"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("[fd7a::1]", "fd7a::1"),
        ("[fd7a::]/64", "fd7a::/64"),
        ("FD7A::1", "fd7a::1"),
    ],
)
def test_prefixes_are_masked_and_spelled_shortly(text: str, spelled: str) -> None:
    found = parse_prefix(text)
    assert found is not None
    assert found.text == spelled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "10.0.0.0/33",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/08",
        "fe80::1%eth0",
        "[10.0.0.1]",
        "[::1",
        "1.2.3",
    ],
)
def test_what_is_no_prefix(text: str) -> None:
    assert parse_prefix(text) is None


def test_ranges() -> None:
    found = parse_range("10.0.0.1-10.0.0.4")
    assert found is not None
    assert (found.text, found.last - found.first) == ("10.0.0.1-10.0.0.4", 3)
    aligned = parse_range("10.0.0.0-10.0.0.255")
    assert aligned is not None
    assert aligned.text == "10.0.0.0/24"
    assert parse_range("10.0.0.4-10.0.0.1") is None
    assert parse_range("10.0.0.4-::1") is None


def test_the_tailnet_leaves_out_what_chromeos_keeps() -> None:
    gap = parse_prefix("100.115.92.0/23")
    assert gap is not None
    assert not any(item.overlaps(gap) for item in TAILNET)


def test_the_internet_holds_no_private_address() -> None:
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "fd00::/8",
    ):
        private = parse_prefix(text)
        assert private is not None
        assert not any(item.overlaps(private) for item in INTERNET)
    public = parse_prefix("8.8.8.0/24")
    assert public is not None
    assert inside_internet(public)
    everything = parse_prefix("0.0.0.0/0")
    assert everything is not None
    assert not inside_internet(everything)


@settings(max_examples=100)
@given(st.text(max_size=30))
def test_any_text_is_a_prefix_or_none(text: str) -> None:
    found = parse_prefix(text)
    assert found is None or ipaddress.ip_network(found.prefix_text)


RANGES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda p: make_range(4, p[0], p[0] + p[1])),
    max_size=6,
)


def members(ranges: list[object]) -> set[int]:
    return {n for item in ranges for n in range(item.first, item.last + 1)}  # type: ignore[attr-defined]


@settings(max_examples=100)
@given(RANGES, RANGES)
def test_range_algebra_is_set_algebra(ranges: list, holes: list) -> None:
    merged = merge_ranges(ranges)
    assert members(merged) == members(ranges)
    assert all(a.last + 1 < b.first for a, b in pairwise(merged))
    left = merged
    for hole in holes:
        left = subtract_ranges(left, hole)
    assert members(left) == members(ranges) - members(holes)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_prefix_length_finds_prefixes(number: int, length: int) -> None:
    network = ipaddress.ip_network((number, length), strict=False)
    assert prefix_length(4, int(network.network_address), int(network.broadcast_address)) == length
