"""Addresses rest."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address

from coordinator.tailnet.address_rest import AddressRest
from tests.support.builders import FakeClock

FIRST, SECOND = IPv4Address("100.64.0.1"), IPv4Address("100.64.0.2")


def test_an_address_rests_for_its_time_and_is_then_forgotten() -> None:
    clock, rest = FakeClock(), AddressRest(timedelta(minutes=10))
    rest.release([FIRST], clock.now)
    clock.forward(minutes=9)
    assert rest.resting(FIRST, clock.now)
    assert not rest.resting(SECOND, clock.now)
    clock.forward(minutes=1)
    assert not rest.resting(FIRST, clock.now)
    rest.release([SECOND], clock.now)
    assert len(rest) == 1


def test_the_longest_resting_comes_first_also_when_one_is_released_again() -> None:
    clock, rest = FakeClock(), AddressRest(timedelta(minutes=10))
    rest.release([FIRST, SECOND], clock.now)
    clock.forward(minutes=1)
    rest.release([FIRST], clock.now)
    assert rest.longest() == [SECOND, FIRST]


def test_no_rest_keeps_nothing() -> None:
    rest = AddressRest(timedelta())
    rest.release([FIRST], FakeClock().now)
    assert len(rest) == 0
