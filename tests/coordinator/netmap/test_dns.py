"""DNSConfig from settings."""

from __future__ import annotations

import json
from ipaddress import ip_network

import pytest

from coordinator.netmap.dns import DNSSettings, build_dns_config, dns_for, reverse_zones
from coordinator.tailcfg.codec import encode
from tests.support.builders import make_node

SETTINGS = DNSSettings(
    magic_dns=True,
    base_domain="tail.lab",
    override_local_dns=True,
    nameservers=["192.0.2.53"],
    search_domains=["x.y"],
)


def test_overriding_servers_are_resolvers() -> None:
    document = json.loads(encode(build_dns_config(SETTINGS, [ip_network("100.64.0.0/10")])))
    assert document["Resolvers"] == [{"Addr": "192.0.2.53"}]
    assert document["Domains"] == ["tail.lab", "x.y"]
    assert document["Proxied"] is True
    assert document["Routes"]["tail.lab"] == []
    assert document["Routes"]["64.100.in-addr.arpa"] == []
    assert len([zone for zone in document["Routes"] if zone.endswith("in-addr.arpa")]) == 64


def test_otherwise_they_are_fallbacks() -> None:
    settings = DNSSettings(
        magic_dns=False, base_domain="", override_local_dns=False, nameservers=["192.0.2.53"]
    )
    document = json.loads(encode(build_dns_config(settings, [])))
    assert document == {"FallbackResolvers": [{"Addr": "192.0.2.53"}], "Proxied": False}


@pytest.mark.parametrize(
    ("prefix", "zones"),
    [
        ("10.0.0.0/8", ["10.in-addr.arpa"]),
        ("192.0.2.0/24", ["2.0.192.in-addr.arpa"]),
        ("fd7a:115c:a1e0::/48", ["0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa"]),
    ],
)
def test_reverse_zones(prefix: str, zones: list[str]) -> None:
    assert reverse_zones(ip_network(prefix)) == zones


def test_without_nextdns_everybody_shares_one_config() -> None:
    config = build_dns_config(SETTINGS, [])
    assert dns_for(config, make_node(), ["nextdns:abc"]) is config


@pytest.mark.parametrize(
    ("capabilities", "address"),
    [
        ([], "https://dns.nextdns.io/base?device_name=node1&device_model=linux&device_ip=100.64.0.1"),
        (["nextdns:no-device-info"], "https://dns.nextdns.io/base"),
        (["nextdns:own", "nextdns:no-device-info"], "https://dns.nextdns.io/own"),
    ],
)
@pytest.mark.parametrize("override", [True, False])
def test_nextdns_is_told_who_asks(capabilities: list[str], address: str, override: bool) -> None:
    settings = DNSSettings(
        magic_dns=False,
        base_domain="",
        override_local_dns=override,
        nameservers=["https://dns.nextdns.io/base", "192.0.2.1"],
    )
    document = json.loads(encode(dns_for(build_dns_config(settings, []), make_node(), capabilities)))
    resolvers = document["Resolvers" if override else "FallbackResolvers"]
    assert resolvers == [{"Addr": address}, {"Addr": "192.0.2.1"}]
