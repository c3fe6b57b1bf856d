"""Address allocation."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.tailnet.addresses import Address, next_free, next_in_pools, usable
from coordinator.tailnet.errors import UnavailableError

SMALL = ip_network("100.64.0.0/29")


def test_allocation_goes_on_behind_the_last_address() -> None:
    address, behind = next_free(SMALL, 1, lambda taken: False)
    assert str(address) == "100.64.0.1"
    assert str(next_free(SMALL, behind, lambda taken: False)[0]) == "100.64.0.2"


def test_a_freed_address_is_not_given_at_once() -> None:
    used: set[Address] = set()
    offset, given_out = 1, []
    for _ in range(4):
        address, offset = next_free(SMALL, offset, used.__contains__)
        given_out.append(str(address))
        used.add(address)
        used.discard(ip_address("100.64.0.1"))
    assert given_out == ["100.64.0.1", "100.64.0.2", "100.64.0.3", "100.64.0.4"]


def test_it_wraps_and_then_is_full() -> None:
    used: set[Address] = set()
    offset = 5
    for _ in range(6):
        address, offset = next_free(SMALL, offset, used.__contains__)
        used.add(address)
    with pytest.raises(UnavailableError, match=r"100\.64\.0\.0/29"):
        next_free(SMALL, offset, used.__contains__)


@pytest.mark.parametrize("text", ["100.64.0.0", "100.127.255.255", "100.100.100.100", "100.115.92.7"])
def test_reserved_addresses(text: str) -> None:
    assert not usable(ip_network("100.64.0.0/10"), ip_address(text))


@given(st.integers(0, 1 << 70))
def test_any_start_gives_a_usable_address(start: int) -> None:
    network = ip_network("fd7a:115c:a1e0::/48")
    address, _ = next_free(network, start, lambda taken: False)
    assert address in network
    assert usable(network, address)


def test_pools_may_be_single_addresses_and_are_used_in_order() -> None:
    prefix = IPv4Network("100.64.0.0/10")
    pools = [IPv4Network("100.64.7.7/32"), IPv4Network("100.64.0.0/30")]
    given: list[object] = []
    for _ in range(4):
        given.append(next_in_pools(pools, prefix, given.__contains__))
    assert [str(address) for address in given] == ["100.64.7.7", "100.64.0.1", "100.64.0.2", "100.64.0.3"]
    with pytest.raises(UnavailableError, match=r"ipPool 100\.64\.7\.7/32"):
        next_in_pools(pools, prefix, given.__contains__)
