"""Pools: which networks, which address next, and what rests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.wireguard.pools import (
    Pool,
    PoolError,
    PoolExhaustedError,
    host_prefix,
    next_address,
    overlap,
    parse_pool,
    with_length,
)


def never(_: str) -> bool:
    return False


def test_a_pool_has_a_network_of_each_family() -> None:
    pool = parse_pool(["fd00:90::/64", " 10.90.0.0/24"], "group:ops ")
    assert pool == Pool(networks=("10.90.0.0/24", "fd00:90::/64"), team="group:ops")


@pytest.mark.parametrize(
    ("networks", "said"),
    [
        ([], "needs a network"),
        (["10.0.0.0/24", "10.1.0.0/24"], "second IPv4"),
        (["10.0.0.1/24"], "host bits"),
        (["10.0.0.0/31"], "too small"),
        (["fd00::/127"], "too small"),
        (["127.0.0.0/8"], "not for addresses"),
        (["ff00::/64"], "not for addresses"),
        (["hello"], "not a network"),
        (["0.0.0.0/0"], "not for addresses"),
        (["128.0.0.0/1"], "not for addresses"),
        (["255.255.255.0/24"], "not for addresses"),
        (["::/0"], "not for addresses"),
        (["::ffff:10.0.0.0/120"], "not for addresses"),
        (["fe00::/7"], "not for addresses"),
        (["fd00:90::%eth0/64"], "zone"),
    ],
)
def test_what_is_no_pool(networks: list[str], said: str) -> None:
    with pytest.raises(PoolError, match=said):
        parse_pool(networks)


def test_pools_are_the_same_or_apart() -> None:
    one = parse_pool(["10.90.0.0/24"])
    assert overlap(one, parse_pool(["10.90.0.0/24"])) == ""
    assert overlap(one, parse_pool(["10.90.1.0/24", "fd00::/64"])) == ""
    assert "overlaps" in overlap(one, parse_pool(["10.90.0.0/16"]))


def test_the_search_goes_on_behind_the_last_and_wraps() -> None:
    assert next_address("10.0.0.0/29", 0, never, never) == ("10.0.0.1", 2)
    assert next_address("10.0.0.0/29", 6, never, never) == ("10.0.0.6", 7)
    assert next_address("10.0.0.0/29", 7, never, never) == ("10.0.0.1", 2)
    assert next_address("fd00::/64", 0, never, never) == ("fd00::1", 2)
    taken = {"10.0.0.1", "10.0.0.2"}
    assert next_address("10.0.0.0/29", 1, taken.__contains__, never) == ("10.0.0.3", 4)


def test_a_full_pool_says_what_rests() -> None:
    with pytest.raises(PoolExhaustedError, match=r"10\.0\.0\.0/30$"):
        next_address("10.0.0.0/30", 0, lambda _: True, never)
    with pytest.raises(PoolExhaustedError, match="2 were freed"):
        next_address("10.0.0.0/30", 0, never, lambda _: True)


@given(st.integers(0, 300), st.sets(st.integers(1, 254)))
def test_an_address_is_never_given_twice(start: int, taken: set[int]) -> None:
    used = {f"10.9.8.{number}" for number in taken}
    if len(used) == 254:
        return
    address, behind = next_address("10.9.8.0/24", start, used.__contains__, never)
    assert address not in used
    assert address not in ("10.9.8.0", "10.9.8.255")
    assert behind == int(address.rpartition(".")[2]) + 1


def test_lengths() -> None:
    pool = parse_pool(["10.90.0.0/24", "fd00:90::/64"])
    assert with_length("10.90.0.1", pool) == "10.90.0.1/24"
    assert with_length("fd00:90::1", pool) == "fd00:90::1/64"
    assert with_length("10.91.0.1", pool) == "10.91.0.1/32"
    assert host_prefix("fd00::2") == "fd00::2/128"
