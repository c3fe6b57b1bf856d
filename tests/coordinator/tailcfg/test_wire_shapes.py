"""JSON member names of the structs that are only ever written."""

from __future__ import annotations

import json

import msgspec

from coordinator.tailcfg.codec import encode
from coordinator.tailcfg.derp_map import DERPMap, DERPNode, DERPRegion
from coordinator.tailcfg.dns_config import DNSConfig, DNSRecord, Resolver
from coordinator.tailcfg.filter_rule import CapGrant, FilterRule, NetPortRange, PortRange
from coordinator.tailcfg.node import PeerChange, WireNode
from coordinator.tailcfg.ssh_policy import SSHAction, SSHPrincipal, SSHRule


def test_a_node_always_says_its_allowed_ips() -> None:
    node = WireNode(
        id=1,
        stable_id="1",
        name="a.b.",
        user=1,
        key="k",
        addresses=[],
        allowed_ips=[],
        hostinfo={},
        created="t",
    )
    assert json.loads(encode(node)) == {
        "ID": 1,
        "StableID": "1",
        "Name": "a.b.",
        "User": 1,
        "Key": "k",
        "Addresses": [],
        "AllowedIPs": [],
        "Hostinfo": {},
        "Created": "t",
        "MachineAuthorized": True,
    }


def test_a_patch_can_empty_the_endpoints() -> None:
    assert encode(PeerChange(node_id=7, endpoints=[])) == b'{"NodeID":7,"Endpoints":[]}'


def test_a_derp_map() -> None:
    node = DERPNode(name="900a", region_id=900, host_name="h", cert_name="sha256-raw:00", stun_port=-1)
    derp_map = DERPMap(
        regions={"900": DERPRegion(region_id=900, region_code="c", region_name="n", nodes=[node])}
    )
    assert json.loads(encode(derp_map)) == {
        "Regions": {
            "900": {
                "RegionID": 900,
                "RegionCode": "c",
                "RegionName": "n",
                "Nodes": [
                    {
                        "Name": "900a",
                        "RegionID": 900,
                        "HostName": "h",
                        "CertName": "sha256-raw:00",
                        "STUNPort": -1,
                    }
                ],
            }
        }
    }


def test_a_dns_config_keeps_empty_routes() -> None:
    config = DNSConfig(
        routes={"lab": []},
        resolvers=[Resolver("192.0.2.53")],
        proxied=True,
        extra_records=[DNSRecord(name="x.lab", value="100.64.0.1")],
    )
    assert json.loads(encode(config)) == {
        "Resolvers": [{"Addr": "192.0.2.53"}],
        "Routes": {"lab": []},
        "Proxied": True,
        "ExtraRecords": [{"Name": "x.lab", "Value": "100.64.0.1"}],
    }


def test_filter_rules() -> None:
    rule = FilterRule(src_ips=["*"], ip_proto=[6], dst_ports=[NetPortRange("*", PortRange(0, 65535))])
    grant = FilterRule(
        src_ips=[], cap_grant=[CapGrant(["100.64.0.1/32"], {"a/b": [msgspec.Raw(b'{"c":1}')], "d/e": None})]
    )
    assert json.loads(encode([rule, grant])) == [
        {"SrcIPs": ["*"], "IPProto": [6], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65535}}]},
        {"SrcIPs": [], "CapGrant": [{"Dsts": ["100.64.0.1/32"], "CapMap": {"a/b": [{"c": 1}], "d/e": None}}]},
    ]


def test_ssh_rules_use_lower_case_names() -> None:
    rule = SSHRule(
        principals=[SSHPrincipal("100.64.0.1")], ssh_users={"root": ""}, action=SSHAction(accept=True)
    )
    assert json.loads(encode(rule)) == {
        "principals": [{"nodeIP": "100.64.0.1"}],
        "sshUsers": {"root": ""},
        "action": {"accept": True},
    }
