"""Limits on failures."""

from __future__ import annotations

import pytest

from coordinator.services.rate_limits import (
    LONGEST_WAIT,
    RateLimits,
    RateLimitSettings,
    TokenBuckets,
    network_of,
)
from coordinator.tailnet.errors import RateLimitedError
from tests.support.builders import machine_key


class Seconds:
    """A monotonic clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_and_fills() -> None:
    clock = Seconds()
    buckets = TokenBuckets(2, 60, clock)
    assert buckets.wait("a") == 0
    buckets.take("a")
    buckets.take("a")
    buckets.take("a")
    assert buckets.wait("a") == pytest.approx(1)
    assert buckets.wait("b") == 0
    clock.now += 1
    assert buckets.wait("a") == 0


def test_buckets_are_bounded_and_full_ones_forgotten() -> None:
    clock = Seconds()
    buckets = TokenBuckets(2, 60, clock, most=5)
    for number in range(50):
        buckets.take(str(number))
    assert len(buckets) == 5
    clock.now += 10
    buckets.take("new")
    assert len(buckets) == 1


def test_address_and_machine_are_limited_apart() -> None:
    limits = RateLimits(RateLimitSettings(address_burst=3, machine_burst=2), Seconds())
    for _ in range(2):
        limits.failed("", machine_key(1))
    with pytest.raises(RateLimitedError, match="machine") as caught:
        limits.check("register", "192.0.2.1", machine_key(1))
    assert 1 <= caught.value.retry_after <= LONGEST_WAIT
    limits.check("register", "192.0.2.1", machine_key(2))
    for number in range(3):
        limits.failed("192.0.2.1", machine_key(10 + number))
    with pytest.raises(RateLimitedError, match="address"):
        limits.check("register", "192.0.2.1", machine_key(2))
    limits.check("register", "192.0.2.2", machine_key(2))
    limits.check("register", "")


def test_switched_off() -> None:
    limits = RateLimits(RateLimitSettings(enabled=False, address_burst=1), Seconds())
    for _ in range(5):
        limits.failed("192.0.2.1")
    limits.check("page", "192.0.2.1")


@pytest.mark.parametrize(
    ("remote", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("somewhere", "somewhere"),
    ],
)
def test_one_client_is_one_address_or_one_ipv6_network(remote: str, network: str) -> None:
    assert network_of(remote) == network
