"""The node table and the range index, against the obvious slow way."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from acl.addresses import AddressRange, make_range, parse_prefix
from acl.nodes import NodeTable, RangeIndex, bits, node_addresses
from tests.acl.tailnets import names, node


def test_bits_and_addresses() -> None:
    assert list(bits(0b10010_1)) == [0, 2, 5]
    assert [version for version, _ in node_addresses(node(1, 1))] == [4, 6]
    assert node_addresses(node(1, 1, ipv4=None, ipv6=None)) == []


def test_a_table_knows_who_is_where_and_whose() -> None:
    table = NodeTable()
    nodes = [node(1, 1), node(2, 1), node(3, "tag:server"), node(4, 2, ipv4=IPv4Address("100.64.0.1"))]
    for one in nodes:
        table.add(one)
    assert names(table.owned[1]) == [1, 2]
    assert table.strings(2) == ("100.64.0.2", "fd7a:115c:a1e0::2")
    assert names(table.at(4, int(IPv4Address("100.64.0.1")))) == [1, 4]
    net = parse_prefix("100.64.0.0/31")
    assert net is not None
    assert names(table.inside(net)) == [1, 4]
    for one in nodes[:2]:
        table.remove(one)
    assert names(table.inside(net)) == [4]
    assert 1 not in table.owned
    assert table.by_id.keys() == {3, 4}


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12)


@settings(max_examples=100)
@given(SPANS, SPANS)
def test_a_range_index_finds_what_a_walk_finds(kept: list, dropped: list) -> None:
    index: RangeIndex[int] = RangeIndex()
    filed: list[tuple[AddressRange, int]] = []
    for number, (first, size) in enumerate([*kept, *dropped]):
        item = make_range(4, first, first + size)
        index.add(item, number)
        filed.append((item, number))
    for item, number in filed[len(kept) :]:
        index.discard(item, number)
    for address in range(85):
        expected = sorted(number for item, number in filed[: len(kept)] if item.holds(4, address))
        assert sorted(index.holding(4, address)) == expected
    assert list(index.holding(6, 5)) == []
