"""IP addresses as ranges of integers, with the spelling a packet filter uses for them.

Here: `AddressRange`, parsing of addresses and prefixes, range algebra, and the fixed ranges of a tailnet
and of the internet. Not here: who owns which address (`resolve`). Called by everything that compares
addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "EXIT_ROUTES",
    "INTERNET",
    "TAILNET",
    "AddressRange",
    "address_number",
    "inside_internet",
    "merge_ranges",
    "parse_prefix",
    "parse_range",
    "prefix_length",
    "subtract_ranges",
]

Version = Literal[4, 6]
BITS = {4: 32, 6: 128}
EXIT_ROUTES = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRange:
    """All addresses from `first` to `last` inclusive of one IP version.

    `text` is how the range is spelled in a filter: a bare address, a masked CIDR, or `first-last`. It
    counts for equality, because a filter must keep the spelling it was given.
    """

    version: Version
    first: int
    last: int
    text: str

    def overlaps(self, other: AddressRange) -> bool:
        return self.version == other.version and self.first <= other.last and other.first <= self.last

    def covers(self, other: AddressRange) -> bool:
        """Whether every address of `other` is in this range."""
        return self.version == other.version and self.first <= other.first and other.last <= self.last

    def holds(self, version: int, number: int) -> bool:
        """Whether the address `number` of IP version `version` is in this range."""
        return self.version == version and self.first <= number <= self.last

    @property
    def single(self) -> bool:
        return self.first == self.last

    @property
    def prefix_text(self) -> str:
        """The range as a prefix with its length (`/32` for a bare address); a non-prefix keeps its text."""
        return f"{self.text}/{BITS[self.version]}" if self.single else self.text


def _address(version: Version, number: int) -> str:
    return str(ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number))


def prefix_length(version: Version, first: int, last: int) -> int | None:
    """Length of the prefix that is exactly `first`..`last`, or None when no single prefix is."""
    size = last - first + 1
    if size & (size - 1) or first & (size - 1):
        return None
    return BITS[version] - (size.bit_length() - 1)


def make_range(version: Version, first: int, last: int, *, dashed: bool = False) -> AddressRange:
    """A range with its usual spelling; `dashed` keeps `a-b` even where one prefix would do."""
    length = prefix_length(version, first, last)
    if first == last:
        text = _address(version, first)
    elif dashed or length is None:
        text = f"{_address(version, first)}-{_address(version, last)}"
    else:
        text = f"{_address(version, first)}/{length}"
    return AddressRange(version=version, first=first, last=last, text=text)


def address_number(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> tuple[Version, int]:
    return (4 if isinstance(address, ipaddress.IPv4Address) else 6), int(address)


def parse_prefix(text: str) -> AddressRange | None:
    """Read an address or CIDR, host bits masked off; None when it is neither.

    IPv6 may be bracketed (`[fd7a::1]`, `[fd7a::]/64`), as in ACL destinations. Scoped addresses are refused:
    a zone means nothing to another machine.
    """
    if text.startswith("["):
        inner, closed, rest = text[1:].partition("]")
        if not closed or ":" not in inner or (rest and not rest.startswith("/")):
            return None
        text = inner + rest
    if "%" in text or not text.isascii():
        return None
    host, slash, length = text.partition("/")
    # ipaddress would also take a netmask after the slash; CIDR notation is a length only.
    if slash and (not length.isdigit() or (len(length) > 1 and length[0] == "0")):
        return None
    try:
        address = ipaddress.ip_address(host)
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    version = address_number(address)[0]
    return make_range(version, int(network.network_address), int(network.broadcast_address))


def parse_range(text: str) -> AddressRange | None:
    """Read an address, a CIDR or `first-last`; None when it is none of them."""
    low, dash, high = text.partition("-")
    if not dash:
        return parse_prefix(text)
    first, last = parse_prefix(low.strip()), parse_prefix(high.strip())
    if first is None or last is None or not (first.single and last.single):
        return None
    if first.version != last.version or first.first > last.first:
        return None
    return make_range(first.version, first.first, last.first)


def merge_ranges(ranges: Iterable[AddressRange]) -> list[AddressRange]:
    """The same addresses as few, disjoint, ascending ranges, IPv4 first."""
    out: list[AddressRange] = []
    for item in sorted(ranges, key=lambda r: (r.version, r.first, r.last)):
        if out and out[-1].version == item.version and item.first <= out[-1].last + 1:
            if item.last > out[-1].last:
                out[-1] = make_range(item.version, out[-1].first, item.last)
        else:
            out.append(make_range(item.version, item.first, item.last))
    return out


def subtract_ranges(ranges: Iterable[AddressRange], hole: AddressRange) -> list[AddressRange]:
    """`ranges` without the addresses of `hole`."""
    out: list[AddressRange] = []
    for item in ranges:
        if not item.overlaps(hole):
            out.append(item)
            continue
        if item.first < hole.first:
            out.append(make_range(item.version, item.first, hole.first - 1))
        if item.last > hole.last:
            out.append(make_range(item.version, hole.last + 1, item.last))
    return out


def _fixed(*spellings: str) -> tuple[AddressRange, ...]:
    out = []
    for text in spellings:
        parsed = parse_range(text)
        if parsed is None:
            raise ValueError(f"not an address range: {text}")
        out.append(AddressRange(version=parsed.version, first=parsed.first, last=parsed.last, text=text))
    return tuple(out)


# The addresses of a tailnet. The gap is 100.115.92.0/23, which ChromeOS keeps for its own virtual machines.
TAILNET = _fixed("100.64.0.0-100.115.91.255", "100.115.94.0-100.127.255.255", "fd7a:115c:a1e0::/48")

# What `autogroup:internet` stands for, spelled and ordered as the service prints it: always `a-b`, also where
# one CIDR would do.
INTERNET = _fixed(
    "0.0.0.0-9.255.255.255",
    "11.0.0.0-100.63.255.255",
    "100.128.0.0-169.253.255.255",
    "169.255.0.0-172.15.255.255",
    "172.32.0.0-192.167.255.255",
    "192.169.0.0-255.255.255.255",
    "2000::-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)


def inside_internet(item: AddressRange) -> bool:
    """Whether every address of `item` belongs to `autogroup:internet`."""
    return any(part.covers(item) for part in INTERNET)
