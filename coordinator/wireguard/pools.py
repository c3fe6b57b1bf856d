"""Pools: the networks that addresses of gateways and peers come from.

A pool belongs to a team, or to everybody. Several gateways may name the same pool; an address is then given
once for all of them. Addresses are given one after the other and the search goes on behind the last one, so
that a freed address rests as long as the pool allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

SMALLEST = {4: 30, 6: 126}
"""Longest prefix of a pool: one gateway and one peer."""
_NOT_FOR_HOSTS = tuple(
    map(ip_network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"))
) + tuple(map(ip_network, ("::/8", "fe80::/10", "ff00::/8")))
MOST_STEPS = 1 << 20
"""Addresses looked at in one search: a full pool ends with an error, not with a hang."""


class PoolError(ValueError):
    """A text that is no pool; says why."""


class PoolExhaustedError(Exception):
    """Every address of a network is taken or rests."""

    def __init__(self, network: str, resting: int) -> None:
        more = f"; {resting} were freed a short while ago and still rest" if resting else ""
        super().__init__(f"no free address is left in {network}{more}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """At most one network of each family; `team` is a group of the policy or a word, empty for everybody."""

    networks: tuple[str, ...]
    team: str = ""


def parse_pool(networks: Iterable[str], team: str = "") -> Pool:
    """Check the networks of a pool.

    Raises:
        PoolError: no network, two of one family, host bits, too small, or not for hosts at all.
    """
    found: dict[int, Network] = {}
    for text in networks:
        network = _network(text)
        if network.version in found:
            raise PoolError(
                f"a pool has one network of each family, and {text} is the second IPv{network.version}"
            )
        found[network.version] = network
    if not found:
        raise PoolError("a pool needs a network such as 10.90.0.0/24 or fd00:90::/64")
    return Pool(networks=tuple(str(found[version]) for version in sorted(found)), team=team.strip())


def overlap(ours: Pool, theirs: Pool) -> str:
    """Why two pools cannot both be used: networks that overlap without being equal; empty if they can."""
    for one in map(ip_network, ours.networks):
        for other in map(ip_network, theirs.networks):
            if one != other and one.version == other.version and one.overlaps(other):
                return f"{one} overlaps with {other}; name the same network, or another one"
    return ""


def next_address(
    network: str, start: int, taken: Callable[[str], bool], resting: Callable[[str], bool]
) -> tuple[str, int]:
    """The first free and rested host address at or behind an offset, wrapping once.

    Args:
        network: The network.
        start: Offset where the search begins.
        taken: Whether an address is in use.
        resting: Whether it was freed a short while ago.

    Returns:
        (address, offset behind it, where the next search begins).

    Raises:
        PoolExhaustedError: there is none.
    """
    prefix = ip_network(network)
    tired = 0
    for step in range(min(prefix.num_addresses, MOST_STEPS)):
        offset = (start + step) % prefix.num_addresses
        if not _for_hosts(prefix, offset):
            continue
        text = str(prefix[offset])
        if taken(text):
            continue
        if resting(text):
            tired += 1
            continue
        return text, offset + 1
    raise PoolExhaustedError(network, tired)


def with_length(address: str, pool: Pool) -> str:
    """An address with the prefix length of its network, as an interface wants it."""
    for network in map(ip_network, pool.networks):
        if ip_address(address) in network:
            return f"{address}/{network.prefixlen}"
    return host_prefix(address)


def host_prefix(address: str) -> str:
    """An address as a prefix of its own."""
    return f"{address}/{128 if ':' in address else 32}"


def _for_hosts(network: Network, offset: int) -> bool:
    """Not the network itself, nor IPv4's broadcast address."""
    last = network.version == 4 and offset == network.num_addresses - 1
    return offset != 0 and not last


def _network(text: str) -> Network:
    try:
        network = ip_network(text.strip())
    except ValueError as error:
        raise PoolError(f"`{text}` is not a network such as 10.90.0.0/24: {error}") from None
    if "%" in text:
        raise PoolError(f"`{text}` is not a network such as fd00:90::/64: a zone means nothing elsewhere")
    if network.prefixlen > SMALLEST[network.version]:
        raise PoolError(f"{network} is too small: a pool has at least one gateway and one peer")
    for other in _NOT_FOR_HOSTS:
        if network.version == other.version and network.overlaps(other):
            raise PoolError(f"{network} overlaps with {other}, which is not for addresses of hosts")
    return network
