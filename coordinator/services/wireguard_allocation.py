"""Gives gateways and peers of plain WireGuard their addresses; runs inside the writer's commands.

A command that fails is rolled back with everything it took, so no address is lost to a provisioning that came
to nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, InvalidError, UnavailableError
from coordinator.wireguard.model import Gateway
from coordinator.wireguard.pools import Pool, PoolExhaustedError, next_address


def allocate(directory: Directory, pool: Pool, now: datetime, rest: timedelta) -> tuple[str, ...]:
    """One address of each network of a pool.

    Raises:
        UnavailableError: a network has none left.
    """
    return tuple(_one(directory, network, now, rest) for network in pool.networks)


def claim(directory: Directory, pool: Pool, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses somebody chose; each must be free and in the pool.

    Raises:
        InvalidError: not in the pool, not for hosts, or two of one family.
        ConflictError: taken.
    """
    found: list[str] = []
    for text in wanted:
        try:
            address = ip_address(text)
        except ValueError:
            raise InvalidError(f"`{text[:80]}` is not an address such as 10.90.0.7") from None
        if "%" in text:
            raise InvalidError(
                f"`{text[:80]}` is not an address such as fd00:90::7: a zone means nothing here"
            )
        if any((":" in other) == (":" in text) for other in found):
            raise InvalidError(f"{text} is the second address of its family, and a device has one of each")
        inside = [network for network in map(ip_network, pool.networks) if address in network]
        if not inside:
            raise InvalidError(
                f"address {address} is in none of the pool's networks {', '.join(pool.networks)}"
            )
        last = inside[0].broadcast_address if address.version == 4 else None
        if address in (inside[0].network_address, last):
            raise InvalidError(f"address {address} of {inside[0]} cannot be that of a host")
        if _taken(directory, str(address)):
            raise ConflictError(f"address {address} is in use")
        found.append(str(address))
    return tuple(found)


def pool_for(gateway: Gateway, team: str | None, belongs: tuple[str, ...]) -> Pool:
    """The pool a peer draws from.

    Args:
        gateway: The gateway.
        team: Named by an administrator; None: not said.
        belongs: The gateway's teams that the person is in.

    Raises:
        InvalidError: no pool of that team, or none for everybody.
    """
    for pool in gateway.pools:
        if pool.team == team or (team is None and pool.team in belongs):
            return pool
    if team is None:
        for pool in gateway.pools:
            if not pool.team:
                return pool
    teams = ", ".join(f"`{pool.team}`" for pool in gateway.pools if pool.team) or "none"
    what = "for everybody" if team is None else f"of team `{team}`"
    raise InvalidError(
        f"gateway `{gateway.name}` has no pool {what}; teams with a pool of their own: {teams}"
    )


def _one(directory: Directory, network: str, now: datetime, rest: timedelta) -> str:
    counter = f"wireguard {network}"
    try:
        address, behind = next_address(
            network,
            directory.counter(counter),
            lambda text: _taken(directory, text),
            lambda text: directory.wireguard.resting(text, now, rest),
        )
    except PoolExhaustedError as error:
        raise UnavailableError(
            f"{error}; revoke peers nobody needs, or give the gateway another pool"
        ) from error
    directory.set_counter(counter, behind)
    return address


def _taken(directory: Directory, text: str) -> bool:
    return directory.wireguard.address_taken(text) or directory.address_taken(ip_address(text))
