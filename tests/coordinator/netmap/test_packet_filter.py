"""Filters in their wire form."""

from __future__ import annotations

import json

from acl import CapGrant, DstPort, FilterRule
from coordinator.netmap.packet_filter import filters_json


def test_no_rules_is_an_empty_list_and_not_null() -> None:
    assert filters_json(()) == b'{"base":[]}'


def test_ports_and_grants() -> None:
    ports = FilterRule(src=("100.64.0.1",), ip_proto=(6,), dst_ports=(DstPort("100.64.0.2", 22, 22),))
    grant = FilterRule(
        src=("*",), cap_grants=(CapGrant(("100.64.0.2/32",), (("a.com/x", ('{"n":1}',)), ("a.com/y", None))),)
    )
    assert json.loads(filters_json((ports, grant)))["base"] == [
        {
            "SrcIPs": ["100.64.0.1"],
            "IPProto": [6],
            "DstPorts": [{"IP": "100.64.0.2", "Ports": {"First": 22, "Last": 22}}],
        },
        {
            "SrcIPs": ["*"],
            "CapGrant": [{"Dsts": ["100.64.0.2/32"], "CapMap": {"a.com/x": [{"n": 1}], "a.com/y": None}}],
        },
    ]
