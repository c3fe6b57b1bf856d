"""Ports and protocols as a policy writes them.

Here: `PortRange`, the port lists of ACL destinations, the `ip` entries of grants, protocol names and numbers.
Not here: hosts and selectors (`selectors`). Called by `validate` and `compile`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ALL_PORTS",
    "DEFAULT_PROTOCOLS",
    "PortError",
    "PortRange",
    "parse_grant_ip",
    "parse_ports",
    "parse_protocol",
]

MAX_PORT = 65535

PROTOCOLS = {
    "icmp": 1,
    "igmp": 2,
    "ipv4": 4,
    "ip-in-ip": 4,
    "tcp": 6,
    "egp": 8,
    "igp": 9,
    "udp": 17,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ipv6-icmp": 58,
    "sctp": 132,
    "fc": 133,
}
PORT_PROTOCOLS = frozenset({6, 17, 132})
# What a client reads when a rule names no protocol: TCP, UDP, ICMPv4, ICMPv6.
DEFAULT_PROTOCOLS = (6, 17, 1, 58)


class PortError(ValueError):
    """A port list, protocol or `ip` entry that cannot be read; the message is the service's where it has
    one.
    """


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Ports `first` to `last` inclusive; 0 to 65535 is every port."""

    first: int
    last: int

    def holds(self, port: int) -> bool:
        return self.first <= port <= self.last


ALL_PORTS = PortRange(0, MAX_PORT)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else None


def _one_range(part: str) -> PortRange:
    low, dash, high = part.partition("-")
    first = _number(low.strip())
    if first is None or first > MAX_PORT:
        raise PortError(f'port range "{part}": invalid first integer')
    last = first
    if dash:
        parsed = _number(high.strip())
        if parsed is None or parsed > MAX_PORT:
            raise PortError(f'port range "{part}": invalid last integer')
        last = parsed
    if first == 0:
        raise PortError(f"port range \"{part}\": first port must be >0, or use '*' for wildcard")
    if last < first:
        raise PortError(f'port range "{part}": first port must be <= last port')
    return PortRange(first, last)


def parse_ports(text: str) -> tuple[PortRange, ...]:
    """Read `*` or a comma list of `N` and `N-M`, in the order written.

    Raises:
        PortError: not a port list, or a port outside 1 to 65535.
    """
    text = text.strip()
    if text == "*":
        return (ALL_PORTS,)
    return tuple(ALL_PORTS if part.strip() == "*" else _one_range(part.strip()) for part in text.split(","))


def parse_protocol(text: str) -> int:
    """Read a protocol name (any case) or a number from 1 to 255 without leading zeros.

    Raises:
        PortError: neither.
    """
    name = text.strip().lower()
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if name.isascii() and name.isdigit() and name[0] != "0" and len(name) <= 3 and int(name) <= 255:
        return int(name)
    raise PortError(f'protocol "{text}" is not supported')


def parse_grant_ip(entry: str) -> tuple[tuple[int, ...], tuple[PortRange, ...]]:
    """Read one `ip` entry of a grant: `*`, ports, `proto:*` or `proto:ports`.

    Returns:
        The protocols (empty: the default ones) and the port ranges.
    Raises:
        PortError: anything else, or ports for a protocol that has none.
    """
    entry = entry.strip()
    name, colon, ports = entry.partition(":")
    if not colon:
        return (), parse_ports(entry)
    if name.strip() == "*":
        return (), parse_ports(ports)
    protocol = parse_protocol(name)
    ranges = parse_ports(ports)
    if protocol not in PORT_PROTOCOLS and ranges != (ALL_PORTS,):
        raise PortError(f'protocol "{name}" has no ports, use "{name}:*"')
    return (protocol,), ranges
