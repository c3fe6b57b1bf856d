"""Gives a new node its addresses; runs inside the writer's commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import cast

from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.address_rest import AddressRest
from coordinator.tailnet.addresses import Address, Network, Prefixes, next_free, next_in_pools, usable
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import UnavailableError
from coordinator.tailnet.facts import node_fact
from coordinator.tailnet.nodes import Node

UNPLACED = 0
"""Index of a node that is not present yet; questions about such nodes do not look at it."""

RandomOffset = Callable[[int], int]
"""Where random address allocation starts: a number below the given size."""


class AddressAllocation:
    """Chooses addresses that are free and, while there is a choice, rested."""

    def __init__(
        self, tailnet: Tailnet, prefixes: Prefixes, rest: AddressRest, random_offset: RandomOffset
    ) -> None:
        self._tailnet = tailnet
        self._prefixes = prefixes
        self._rest = rest
        self._random_offset = random_offset
        tailnet.on_departure(self._departed)

    def ipv4(self, directory: Directory, node: Node) -> IPv4Address | None:
        """From the pools the policy names for such a node, else from the whole prefix.

        Raises:
            UnavailableError: no address is left.
        """
        prefix = self._prefixes.v4
        if prefix is None:
            return None
        pools = self._tailnet.world.policy.ip_pool(node_fact(node, UNPLACED))
        if not pools:
            return cast("IPv4Address | None", self._allocate(directory, prefix, "ipv4_offset"))
        taken = self._taken(directory, self._tailnet.clock())
        try:
            return next_in_pools(pools, prefix, taken)
        except UnavailableError:
            tired = self._tired(directory, prefix, pools)
            if tired is None:
                raise
            return cast("IPv4Address", tired)

    def ipv6(self, directory: Directory) -> IPv6Address | None:
        """From the whole prefix.

        Raises:
            UnavailableError: no address is left.
        """
        return cast("IPv6Address | None", self._allocate(directory, self._prefixes.v6, "ipv6_offset"))

    def _allocate(self, directory: Directory, network: Network | None, counter: str) -> Address | None:
        if network is None:
            return None
        random = self._prefixes.random
        start = self._random_offset(network.num_addresses) if random else max(directory.counter(counter), 1)
        try:
            address, behind = next_free(network, start, self._taken(directory, self._tailnet.clock()))
        except UnavailableError:
            tired = self._tired(directory, network, [network])
            if tired is None:
                raise
            return tired
        if not random:
            directory.set_counter(counter, behind)
        return address

    def _taken(self, directory: Directory, now: datetime) -> Callable[[Address], bool]:
        return lambda address: directory.address_taken(address) or self._rest.resting(address, now)

    def _tired(self, directory: Directory, prefix: Network, pools: Iterable[Network]) -> Address | None:
        """The longest resting free address of the pools: better than to turn a machine away."""
        for address in self._rest.longest():
            inside = any(address.version == pool.version and address in pool for pool in pools)
            if inside and usable(prefix, address) and not directory.address_taken(address):
                return address
        return None

    def _departed(self, node: Node) -> None:
        # Also called for keys that expired or were replaced; such a node still holds its addresses, and
        # what counts is the call at its deletion, which is later.
        if node.ephemeral:
            self._rest.release(node.addresses, self._tailnet.clock())
