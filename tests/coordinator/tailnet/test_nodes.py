"""A node."""

from __future__ import annotations

from datetime import timedelta

from tests.support.builders import NOW, make_node


def test_expiry() -> None:
    assert not make_node(1).expired(NOW)
    assert make_node(1, expiry=NOW).expired(NOW)
    assert not make_node(1, expiry=NOW + timedelta(seconds=1)).expired(NOW)


def test_addresses_are_ipv4_first() -> None:
    assert [address.version for address in make_node(1).addresses] == [4, 6]
    assert len(make_node(1, ipv6=None).addresses) == 1
