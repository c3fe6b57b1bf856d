"""Addresses: from the right pool, never two at once, never those of the tailnet."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address

import pytest

from coordinator.services.wireguard_allocation import allocate, claim, pool_for
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, InvalidError, UnavailableError
from coordinator.tailnet.state import TailnetState
from coordinator.wireguard.pools import parse_pool
from tests.support.builders import make_node
from tests.support.wireguard_records import NOW, make_gateway, make_peer

POOL = parse_pool(["10.90.0.0/29", "fd00:90::/64"])
HOUR = timedelta(hours=1)


def directory() -> Directory:
    node = make_node(1, ipv4=IPv4Address("10.90.0.3"))
    made = Directory(TailnetState(nodes={node.id: node}))
    made.put_wireguard(make_gateway())
    return made


def test_one_after_the_other_also_after_a_rollback() -> None:
    there = directory()
    mark = there.mark()
    assert allocate(there, POOL, NOW, HOUR) == ("10.90.0.2", "fd00:90::2")
    there.rollback(mark)
    assert allocate(there, POOL, NOW, HOUR) == ("10.90.0.2", "fd00:90::2")
    # The third is a node's.
    assert allocate(there, POOL, NOW, HOUR) == ("10.90.0.4", "fd00:90::3")


def test_freed_addresses_rest() -> None:
    there = directory()
    pool = parse_pool(["10.90.0.8/30"])
    peer = make_peer(addresses=("10.90.0.9",))
    other = make_peer(2, addresses=("10.90.0.10",))
    there.put_wireguard(peer)
    there.put_wireguard(other)
    with pytest.raises(UnavailableError, match="revoke peers nobody needs"):
        allocate(there, pool, NOW, HOUR)
    there.put_wireguard(peer.ended(NOW, "x", "revoked"))
    with pytest.raises(UnavailableError, match="still rest"):
        allocate(there, pool, NOW + HOUR / 2, HOUR)
    assert allocate(there, pool, NOW + HOUR, HOUR) == ("10.90.0.9",)


def test_chosen_addresses() -> None:
    there = directory()
    assert claim(there, POOL, ("10.90.0.6",)) == ("10.90.0.6",)
    for wrong, error in (
        ("10.90.0.1", ConflictError),
        ("10.90.0.3", ConflictError),
        ("10.90.0.0", InvalidError),
        ("10.90.0.7", InvalidError),
        ("10.91.0.1", InvalidError),
        ("x", InvalidError),
    ):
        with pytest.raises(error):
            claim(there, POOL, (wrong,))
    assert claim(there, POOL, ("10.90.0.6", "fd00:90::ab")) == ("10.90.0.6", "fd00:90::ab")
    for many, said in (
        (("10.90.0.5", "10.90.0.6"), "second address"),
        (("10.90.0.6", "10.90.0.6"), "second address"),
        (("fd00:90::7%eth0",), "zone"),
    ):
        with pytest.raises(InvalidError, match=said):
            claim(there, POOL, many)


def test_pools_of_teams() -> None:
    common, ops = POOL, parse_pool(["10.91.0.0/24"], "group:ops")
    gateway = make_gateway(pools=(common, ops))
    assert pool_for(gateway, None, ()) == common
    assert pool_for(gateway, None, ("group:ops",)) == ops
    assert pool_for(gateway, "group:ops", ()) == ops
    assert pool_for(gateway, "", ("group:ops",)) == common
    with pytest.raises(
        InvalidError, match="no pool of team `x`; teams with a pool of their own: `group:ops`"
    ):
        pool_for(gateway, "x", ())
    with pytest.raises(InvalidError, match="no pool for everybody"):
        pool_for(make_gateway(pools=(ops,)), None, ())
