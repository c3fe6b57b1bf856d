"""Which Tailscale addresses a new node gets.

Sequential allocation goes on behind the last address it gave, also after deletions and restarts, and wraps at
the end of the prefix: an address that was just freed is the last to be given again. Random allocation starts
anywhere and walks on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeVar

from coordinator.tailnet.errors import UnavailableError

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
A = TypeVar("A", IPv4Address, IPv6Address)

RESERVED: tuple[Network, ...] = (
    ip_network("100.100.100.100/32"),  # MagicDNS
    ip_network("100.115.92.0/23"),  # ChromeOS
    ip_network("fd7a:115c:a1e0::53/128"),  # MagicDNS
)
"""Addresses clients use themselves. Source: tailscale net/tsaddr."""

_MAX_STEPS = 1 << 22
"""A /10 has this many addresses;

more are never walked, so that a full prefix ends with an error, not a hang.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefixes:
    """Where addresses come from; at least one family."""

    v4: IPv4Network | None
    v6: IPv6Network | None
    random: bool = False


def usable(network: Network, address: Address) -> bool:
    """Whether a node may have this address: not the first or last of its prefix, not reserved."""
    if address in (network.network_address, network.broadcast_address):
        return False
    return not any(address.version == reserved.version and address in reserved for reserved in RESERVED)


def next_in_pools(
    pools: Sequence[IPv4Network], prefix: IPv4Network, taken: Callable[[Address], bool]
) -> IPv4Address:
    """The lowest free address of the first pool that has one (the policy's `ipPool`).

    Only the tailnet prefix itself has unusable ends: a pool may be a single address.

    Raises:
        UnavailableError: every pool is full.
    """
    for pool in pools:
        for number in range(int(pool.network_address), int(pool.broadcast_address) + 1)[:_MAX_STEPS]:
            address = IPv4Address(number)
            if usable(prefix, address) and not taken(address):
                return address
    raise UnavailableError(f"no free address is left in the policy's ipPool {', '.join(map(str, pools))}")


def next_free(network: Network, start: int, taken: Callable[[Address], bool]) -> tuple[Address, int]:
    """The first free usable address at or behind an offset, wrapping once.

    Args:
        network: The prefix.
        start: Offset from the network address where to begin, any non-negative number.
        taken: Whether an address is in use.

    Returns:
        (address, offset behind it, where the next search begins).

    Raises:
        UnavailableError: the prefix is full.
    """
    size = network.num_addresses
    base = int(network.network_address)
    for step in range(min(size, _MAX_STEPS)):
        offset = (start + step) % size
        address = ip_address(base + offset) if network.version == 4 else IPv6Address(base + offset)
        if usable(network, address) and not taken(address):
            return address, offset + 1
    raise UnavailableError(f"no free address is left in {network}")
