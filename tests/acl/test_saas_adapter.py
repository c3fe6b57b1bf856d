"""The adapter that runs the engine on captured cases: one small case through it."""

from __future__ import annotations

import json
from typing import Any

from tests.saas_adapter import answer

CASE: dict[str, Any] = {
    "input": {
        "policy": json.dumps(
            {
                "tagOwners": {"tag:router": ["alice@example.com"]},
                "autoApprovers": {"routes": {"10.0.0.0/8": ["tag:router"]}},
                "grants": [{"src": ["alice@example.com"], "dst": ["10.1.0.0/16"], "ip": ["tcp:22"]}],
                "ssh": [
                    {
                        "action": "check",
                        "src": ["alice@example.com"],
                        "dst": ["tag:router"],
                        "users": ["root"],
                    }
                ],
            }
        ),
        "tailnet": {"domain": "example.com", "associated_domains": ["example.com"], "settings": {}},
        "users": [{"id": 1, "name": "alice", "email": "alice@example.com", "role": "owner"}],
        "nodes": [
            {
                "name": "a",
                "user": "alice",
                "tags": [],
                "ipv4": "100.64.0.1",
                "ipv6": None,
                "created_order": 1,
            },
            {
                "name": "r",
                "user": None,
                "tags": ["tag:router"],
                "ipv4": "100.64.0.2",
                "ipv6": None,
                "routable_ips": ["10.1.0.0/16"],
                "created_order": 2,
            },
        ],
    }
}


def test_an_accepted_policy() -> None:
    nodes = answer(CASE)["nodes"]
    assert nodes["r"]["packet_filter_rules"] == [
        {
            "SrcIPs": ["100.64.0.1"],
            "IPProto": [6],
            "DstPorts": [{"IP": "10.1.0.0/16", "Ports": {"First": 22, "Last": 22}}],
        }
    ]
    assert nodes["a"]["peers"] == [
        {
            "name": "r",
            "allowed_ips": ["100.64.0.2/32", "10.1.0.0/16"],
            "primary_routes": ["10.1.0.0/16"],
            "cap_map": {},
        }
    ]
    assert nodes["r"]["ssh_rules"][0]["principals"] == [{"nodeIP": "100.64.0.1"}]
    assert "holdAndDelegate" in nodes["r"]["ssh_rules"][0]["action"]


def test_a_rejected_policy() -> None:
    case = {"input": {**CASE["input"], "policy": '{"grants": [{"src": ["*"], "dst": ["*"]}]}'}}
    assert answer(case) == {"code": 400, "error": "ip and app can not both be empty"}
