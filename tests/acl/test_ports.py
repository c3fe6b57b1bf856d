"""Ports and protocols, with the official service's messages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acl.ports import ALL_PORTS, PortError, PortRange, parse_grant_ip, parse_ports, parse_protocol


def test_port_lists_keep_their_order() -> None:
    assert parse_ports("443, 80-90") == (PortRange(443, 443), PortRange(80, 90))
    assert parse_ports("*") == (ALL_PORTS,)
    assert ALL_PORTS.holds(0)
    assert not PortRange(80, 90).holds(91)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ssh", 'port range "ssh": invalid first integer'),
        ("", 'port range "": invalid first integer'),
        ("0", "port range \"0\": first port must be >0, or use '*' for wildcard"),
        ("80-x", 'port range "80-x": invalid last integer'),
        ("90-80", 'port range "90-80": first port must be <= last port'),
        ("65536", 'port range "65536": invalid first integer'),
        ("22,ssh", 'port range "ssh": invalid first integer'),
        ("٣", 'port range "٣": invalid first integer'),
    ],
)
def test_bad_ports(text: str, message: str) -> None:
    with pytest.raises(PortError) as caught:
        parse_ports(text)
    assert str(caught.value) == message


def test_protocols() -> None:
    assert [parse_protocol(name) for name in ("TCP", "udp", "icmp", "ipv6-icmp", "47", "fc")] == [
        6,
        17,
        1,
        58,
        47,
        133,
    ]
    for bad in ("0", "06", "256", "*", "", "http", "1000"):
        with pytest.raises(PortError):
            parse_protocol(bad)


def test_grant_entries() -> None:
    assert parse_grant_ip("*") == ((), (ALL_PORTS,))
    assert parse_grant_ip("47") == ((), (PortRange(47, 47),))
    assert parse_grant_ip("tcp:80-443") == ((6,), (PortRange(80, 443),))
    assert parse_grant_ip("icmp:*") == ((1,), (ALL_PORTS,))
    with pytest.raises(PortError, match="invalid first integer"):
        parse_grant_ip("icmp")
    with pytest.raises(PortError, match="has no ports"):
        parse_grant_ip("icmp:80")


@settings(max_examples=150)
@given(st.text(alphabet="0123456789-,:*tcpudp ٣", max_size=14))
def test_any_text_is_ports_or_the_documented_error(text: str) -> None:
    for parse in (parse_ports, parse_grant_ip):
        try:
            found = parse(text)
        except PortError:
            continue
        ranges = found if parse is parse_ports else found[1]
        assert all(0 <= item.first <= item.last <= 65535 for item in ranges)
