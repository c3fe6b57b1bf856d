"""Addresses of new nodes, and rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Network

import pytest

from coordinator.services.address_allocation import AddressAllocation
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.address_rest import AddressRest
from coordinator.tailnet.addresses import Prefixes
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import UnavailableError
from coordinator.tailnet.nodes import Node, NodeID
from tests.support.builders import make_node, make_user
from tests.support.tailnets import make_tailnet

FOUR = Prefixes(v4=IPv4Network("100.64.0.0/29"), v6=None, random=True)
"""Six usable addresses."""


async def join(tailnet: Tailnet, allocation: AddressAllocation, number: int) -> Node:
    def command(directory: Directory) -> Node:
        node = make_node(number, ipv4=None, ipv6=None, ephemeral=True, user_id=None, tags=("tag:ci",))
        node = replace(node, ipv4=allocation.ipv4(directory, node), ipv6=allocation.ipv6(directory))
        directory.put_node(node)
        return node

    return await tailnet.execute(command)


async def leave(tailnet: Tailnet, number: int) -> None:
    await tailnet.execute(lambda directory: directory.delete_node(NodeID(number)))


async def test_a_freed_address_rests_until_its_time_or_until_nothing_else_is_left() -> None:
    tailnet, _, clock = make_tailnet()
    tailnet.start()
    allocation = AddressAllocation(tailnet, FOUR, AddressRest(timedelta(minutes=10)), lambda size: 1)
    first, second = await join(tailnet, allocation, 1), await join(tailnet, allocation, 2)
    assert (str(first.ipv4), str(second.ipv4)) == ("100.64.0.1", "100.64.0.2")
    await leave(tailnet, 2)
    clock.forward(minutes=1)
    await leave(tailnet, 1)
    others = [str((await join(tailnet, allocation, number)).ipv4) for number in range(3, 7)]
    assert others == [f"100.64.0.{last}" for last in range(3, 7)]
    tired = await join(tailnet, allocation, 7)
    assert tired.ipv4 == second.ipv4, "the longest resting goes first"
    assert (await join(tailnet, allocation, 8)).ipv4 == first.ipv4
    with pytest.raises(UnavailableError):
        await join(tailnet, allocation, 9)
    await leave(tailnet, 8)
    await leave(tailnet, 5)
    clock.forward(minutes=10)
    assert (await join(tailnet, allocation, 10)).ipv4 == first.ipv4, "rested: the lowest again"
    await tailnet.close()


async def test_nodes_that_are_not_ephemeral_do_not_rest() -> None:
    user = make_user(1)
    tailnet, _, _ = make_tailnet()
    tailnet.start()
    rest = AddressRest(timedelta(minutes=10))
    AddressAllocation(tailnet, FOUR, rest, lambda size: 1)
    await tailnet.execute(lambda directory: directory.put_user(user))
    await tailnet.execute(lambda directory: directory.put_node(make_node(1)))
    await leave(tailnet, 1)
    assert len(rest) == 0
    await tailnet.close()
