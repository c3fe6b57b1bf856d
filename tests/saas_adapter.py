"""Runs the policy engine on captured cases: one JSON case per line in, one JSON answer per line out.

The wire form of filter and SSH rules is made here only as far as the comparison needs it.
"""

from __future__ import annotations

import json
import sys
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import acl

BASELINE_CAPS = (
    "https://tailscale.com/cap/file-sharing",
    "https://tailscale.com/cap/ssh",
    "https://tailscale.com/cap/tailnet-lock",
    "probe-udp-lifetime",
    "ssh-behavior-v1",
    "ssh-env-vars",
    "store-appc-routes",
)


def _cap_map(pairs: acl.packet_filter.CapMap) -> dict[str, list[Any] | None]:
    return {
        name: None if values is None else [json.loads(value) for value in values] for name, values in pairs
    }


def filter_json(rule: acl.FilterRule) -> dict[str, Any]:
    out: dict[str, Any] = {"SrcIPs": list(rule.src)}
    if rule.ip_proto:
        out["IPProto"] = list(rule.ip_proto)
    if rule.dst_ports:
        out["DstPorts"] = [{"IP": d.ip, "Ports": {"First": d.first, "Last": d.last}} for d in rule.dst_ports]
    if rule.cap_grants:
        out["CapGrant"] = [{"Dsts": list(g.dsts), "CapMap": _cap_map(g.cap_map)} for g in rule.cap_grants]
    return out


def ssh_json(rule: acl.SSHRule) -> dict[str, Any]:
    action: dict[str, Any]
    if rule.action.kind == "check":
        path = "/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER"
        action = {"holdAndDelegate": f"https://unused{path}"}
    else:
        action = {
            "accept": True,
            "allowAgentForwarding": True,
            "allowLocalPortForwarding": True,
            "allowRemotePortForwarding": True,
        }
    return {
        "principals": [{"nodeIP": address} for address in rule.principals],
        "sshUsers": dict(rule.ssh_users),
        "action": action,
        "acceptEnv": list(rule.accept_env),
    }


def facts_of(given: dict[str, Any]) -> acl.TailnetFacts:
    tailnet = given["tailnet"]
    users = tuple(
        acl.UserFact(id=u["id"], login=u["email"], name=u["name"], email=u["email"], role=u["role"])
        for u in given["users"]
    )
    return acl.TailnetFacts(
        domain=tailnet["domain"],
        associated_domains=tuple(tailnet["associated_domains"]),
        users=users,
        auto_updates=bool(tailnet.get("settings", {}).get("devices_auto_updates_on")),
    )


def nodes_of(given: dict[str, Any]) -> list[acl.NodeFact]:
    ids = {user["name"]: user["id"] for user in given["users"]}
    return [
        acl.NodeFact(
            id=number + 1,
            index=number,
            name=node["name"],
            user_id=ids.get(node["user"]),
            tags=tuple(node["tags"]),
            ipv4=IPv4Address(node["ipv4"]) if node.get("ipv4") else None,
            ipv6=IPv6Address(node["ipv6"]) if node.get("ipv6") else None,
            approved_routes=tuple(node.get("approved_routes") or ()),
            created_order=node["created_order"],
        )
        for number, node in enumerate(given["nodes"])
    ]


def view_json(index: acl.PolicyIndex, node: acl.NodeFact, nodes: list[acl.NodeFact]) -> dict[str, Any]:
    own = index.self_view(node.id)
    caps: dict[str, Any] = dict.fromkeys(BASELINE_CAPS)
    caps.update({name: None if values is None else list(values) for name, values in own.cap_map.items()})
    peers = index.peers(node.id)
    return {
        "packet_filter_rules": [filter_json(rule) for rule in index.filter_rules(node.id)],
        "ssh_rules": [ssh_json(rule) for rule in index.ssh_rules(node.id)],
        "self": {
            "addresses": list(own.addresses),
            "allowed_ips": list(own.allowed_ips),
            "primary_routes": list(own.primary_routes),
            "cap_map": caps,
        },
        "peers": [
            {
                "name": peer.name,
                "allowed_ips": list(view.allowed_ips),
                "primary_routes": list(view.primary_routes),
                "cap_map": _cap_map(view.caps),
            }
            for peer in nodes
            if peers >> peer.index & 1
            for view in (index.peer_view(node.id, peer.id),)
        ],
    }


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """What the engine says to one case."""
    given = case["input"]
    try:
        policy = acl.parse_policy(given["policy"])
    except acl.PolicyError as error:
        return {"code": 400, "error": acl.service_error(error.problems)}
    facts, nodes = facts_of(given), nodes_of(given)
    problems = acl.check_policy(policy, facts, nodes)
    if problems:
        return {"code": 400, "error": acl.service_error(problems)}
    approver = acl.PolicyIndex(policy, facts)
    nodes = [
        acl.NodeFact(
            **{
                **{name: getattr(node, name) for name in acl.NodeFact.__slots__},
                "approved_routes": node.approved_routes
                or approver.auto_approved(node, raw.get("routable_ips") or ()),
            }
        )
        for node, raw in zip(nodes, given["nodes"], strict=True)
    ]
    index = acl.PolicyIndex(policy, facts, nodes)
    return {"code": 200, "error": None, "nodes": {node.name: view_json(index, node, nodes) for node in nodes}}


def main() -> None:
    for line in sys.stdin:
        if line.strip():
            print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
