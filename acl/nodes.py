"""The nodes present, and quick answers about their addresses.

Here: `NodeTable` (nodes by id, bit and address), `RangeIndex` (which of many ranges hold an address) and
bit-set iteration. Not here: what nodes belong to (`resolve`). Called by `engine` and what it is made of.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import Generic, TypeVar

from acl.addresses import AddressRange, Version, prefix_length
from acl.facts import NodeFact

__all__ = ["NodeTable", "RangeIndex", "bits", "node_addresses"]

T = TypeVar("T")
_WIDTH = {4: 32, 6: 128}


def bits(mask: int) -> Iterator[int]:
    """The positions of the set bits, ascending. Costs one step per set bit, not per position."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def node_addresses(node: NodeFact) -> list[tuple[Version, int]]:
    """The node's addresses as (version, number), IPv4 first."""
    out: list[tuple[Version, int]] = []
    if node.ipv4 is not None:
        out.append((4, int(node.ipv4)))
    if node.ipv6 is not None:
        out.append((6, int(node.ipv6)))
    return out


class RangeIndex(Generic[T]):
    """Values filed under address ranges, found by an address inside.

    Prefixes cost one dictionary look-up for each length in use; ranges that are no prefix are walked.
    """

    def __init__(self) -> None:
        self._prefixes: dict[tuple[int, int], dict[int, list[T]]] = {}
        self._others: list[tuple[AddressRange, T]] = []

    def add(self, item: AddressRange, value: T) -> None:
        length = prefix_length(item.version, item.first, item.last)
        if length is None:
            self._others.append((item, value))
        else:
            self._prefixes.setdefault((item.version, length), {}).setdefault(item.first, []).append(value)

    def discard(self, item: AddressRange, value: T) -> None:
        length = prefix_length(item.version, item.first, item.last)
        if length is None:
            self._others.remove((item, value))
            return
        by_first = self._prefixes[item.version, length]
        by_first[item.first].remove(value)
        if not by_first[item.first]:
            del by_first[item.first]
        if not by_first:
            del self._prefixes[item.version, length]

    def holding(self, version: Version, number: int) -> Iterator[T]:
        """Values of every range that holds the address."""
        for (prefix_version, length), by_first in self._prefixes.items():
            if prefix_version == version:
                shift = _WIDTH[version] - length
                yield from by_first.get(number >> shift << shift, ())
        for item, value in self._others:
            if item.holds(version, number):
                yield value


class NodeTable:
    """Nodes by id and by bit, with their addresses in order."""

    def __init__(self) -> None:
        self.by_id: dict[int, NodeFact] = {}
        self.by_index: dict[int, NodeFact] = {}
        self.owned: dict[int, int] = {}  # user id -> bit set of the user's untagged nodes
        self._strings: dict[int, tuple[str, ...]] = {}
        self._holders: dict[tuple[int, int], list[int]] = {}  # address -> indices
        self._sorted: dict[int, list[int]] = {4: [], 6: []}

    def add(self, node: NodeFact) -> None:
        self.by_id[node.id] = node
        self.by_index[node.index] = node
        self._strings[node.index] = tuple(str(a) for a in (node.ipv4, node.ipv6) if a is not None)
        if node.owner is not None:
            self.owned[node.owner] = self.owned.get(node.owner, 0) | 1 << node.index
        for address in node_addresses(node):
            holders = self._holders.setdefault(address, [])
            if not holders:
                insort(self._sorted[address[0]], address[1])
            holders.append(node.index)

    def remove(self, node: NodeFact) -> None:
        del self.by_id[node.id], self.by_index[node.index], self._strings[node.index]
        if node.owner is not None:
            self.owned[node.owner] &= ~(1 << node.index)
            if not self.owned[node.owner]:
                del self.owned[node.owner]
        for address in node_addresses(node):
            holders = self._holders[address]
            holders.remove(node.index)
            if not holders:
                del self._holders[address]
                numbers = self._sorted[address[0]]
                del numbers[bisect_left(numbers, address[1])]

    def update(self, node: NodeFact) -> None:
        """Put a new record in the place of one with the same id, bit, owner and addresses."""
        self.by_id[node.id] = node
        self.by_index[node.index] = node

    def strings(self, index: int) -> tuple[str, ...]:
        """The node's addresses as text, IPv4 first."""
        return self._strings[index]

    def at(self, version: int, number: int) -> int:
        """Bit set of the nodes with this address."""
        out = 0
        for index in self._holders.get((version, number), ()):
            out |= 1 << index
        return out

    def inside(self, item: AddressRange) -> int:
        """Bit set of the nodes with an address in the range."""
        numbers = self._sorted[item.version]
        out = 0
        for number in numbers[bisect_left(numbers, item.first) : bisect_right(numbers, item.last)]:
            out |= self.at(item.version, number)
        return out
