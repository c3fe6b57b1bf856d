"""The tailnet a policy is held against: from the running server, or from a snapshot file.

A snapshot is what `coordinator policy snapshot` prints: `{"users": […], "nodes": […], "peers": […]}`, in the
API's shapes.
It holds no keys, so it can live beside the policy in git.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from acl import AccessProfile, NodeFact, OpenWindow, PolicyError, TailnetFacts, UserFact
from acl.declared import profile_from_text
from coordinator.cli.client import call
from coordinator.cli.output import CommandError
from coordinator.cli.policy_problems import read, report


@dataclass(frozen=True, slots=True, kw_only=True)
class Tailnet:
    """Nodes and users as the policy engine takes them.

    `advertised` is what each node (by id) offers to route, `declared` the profiles from beside the policy.
    `outside` are the facts of each plain WireGuard peer, by name, whose gateway is no node of the tailnet: no
    rule means it, and it reaches what its open profile says.
    """

    facts: TailnetFacts
    outside: dict[str, TailnetFacts] = field(default_factory=dict)
    nodes: list[NodeFact] = field(default_factory=list)
    advertised: dict[int, list[str]] = field(default_factory=dict)
    declared: tuple[AccessProfile, ...] = ()


def server_snapshot() -> dict[str, Any]:
    """Users, nodes and plain WireGuard peers of the running server, without their keys."""
    users = call("GET", "/api/v1/user")["users"]
    nodes = call("GET", "/api/v1/node")["nodes"]
    kept = (
        "id",
        "givenName",
        "tags",
        "ipAddresses",
        "approvedRoutes",
        "availableRoutes",
        "user",
        "attributes",
    )
    return {
        "users": users,
        "nodes": [{name: node[name] for name in kept} for node in nodes],
        "peers": _server_peers(),
        "profiles": _server_profiles(),
    }


def server_declared() -> tuple[AccessProfile, ...]:
    """The access profiles that were declared on the running server, beside its policy."""
    return _declared(_server_profiles(), "the server")


def _server_profiles() -> dict[str, Any]:
    return dict(call("GET", "/api/v1/policy/profiles")["profiles"])


def declared_in(path: Path) -> tuple[AccessProfile, ...]:
    """The access profiles of a declaration for `wireguard apply`; ends the command when it is none."""
    from coordinator.wireguard.declared import read_declaration

    text = read(path)
    try:
        return tuple(item.profile for item in read_declaration(text).profiles)
    except PolicyError as error:
        report(path, text, error.problems)


def _declared(profiles: Mapping[str, Any], source: str) -> tuple[AccessProfile, ...]:
    try:
        return tuple(profile_from_text(str(name), json.dumps(value)) for name, value in profiles.items())
    except PolicyError as error:
        raise CommandError(f"{source} has a profile that cannot be read: {error}") from error


def _server_peers() -> list[dict[str, Any]]:
    """The peers, what is open for each, and whether its gateway is a node: rules speak of no other."""
    gateways = call("GET", "/api/v1/wireguard/gateways")["gateways"]
    inside = {gateway["name"] for gateway in gateways if gateway["tailnet"]}
    if not gateways:
        return []
    return [
        {
            "name": peer["name"],
            "addresses": peer["addresses"],
            "profile": peer["profile"] if peer["state"] == "active" else "",
            "tailnet": peer["gateway"] in inside,
        }
        for peer in call("GET", "/api/v1/wireguard/peers")["peers"]
        if peer["state"] != "ended"
    ]


def open_windows(tailnet: Tailnet) -> list[OpenWindow]:
    """The access windows of people's machines that are open on the running server now."""
    logins = {user.id: user.login for user in tailnet.facts.users}
    found = []
    for each in call("GET", "/api/v1/access/requests?state=active")["requests"]:
        if each.get("mint"):
            continue  # which machine came of it is not told
        own = [node.id for node in tailnet.nodes if node.owner and logins.get(node.owner) == each["user"]]
        nodes = own if each["node"] is None else [int(each["node"])]
        closes_at = datetime.fromisoformat(each["closes_at"])
        window = OpenWindow(
            id=int(each["id"]), profile=each["profile"], nodes=tuple(sorted(nodes)), closes_at=closes_at
        )
        found.append(window)
    return found


def load_tailnet(nodes: Path | None, *, server: bool) -> Tailnet:
    """From a snapshot file, from the server, or an empty tailnet.

    Raises:
        CommandError: the file is no snapshot, or the server is away.
    """
    if server:
        return _tailnet(server_snapshot(), "the server")
    if nodes is None:
        return Tailnet(facts=TailnetFacts())
    try:
        document = json.loads(nodes.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot read {nodes}: {error}") from error
    return _tailnet(document, str(nodes))


def _tailnet(document: Any, source: str) -> Tailnet:
    if isinstance(document, list):
        # What `nodes list -o json` prints: the owners are inside.
        document = {"users": _owners(document), "nodes": document}
    try:
        users = [_user(user) for user in document["users"]]
        nodes = [_node(number, node) for number, node in enumerate(document["nodes"])]
        peers = {str(peer["name"]): peer for peer in document.get("peers", ())}
        inside = _peer_facts(users, {name: each for name, each in peers.items() if each.get("tailnet", True)})
        outside = {
            name: _peer_facts(users, {name: each})
            for name, each in peers.items()
            if not each.get("tailnet", True)
        }
        advertised = {int(node["id"]): list(node.get("availableRoutes", ())) for node in document["nodes"]}
        profiles = dict(document.get("profiles", {}))
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(
            f"{source} is no snapshot: {error!r}; make one with `coordinator policy snapshot`"
        ) from error
    declared = _declared(profiles, source)
    return Tailnet(facts=inside, outside=outside, nodes=nodes, advertised=advertised, declared=declared)


def _peer_facts(users: Sequence[UserFact], peers: Mapping[str, Mapping[str, Any]]) -> TailnetFacts:
    return TailnetFacts(
        users=users,
        associated_domains=None,
        peers={name: list(peer["addresses"]) for name, peer in peers.items()},
        peer_profiles={name: str(peer["profile"]) for name, peer in peers.items() if peer.get("profile")},
    )


def _owners(nodes: list[Any]) -> list[Any]:
    users = [node["user"] for node in nodes if isinstance(node, dict) and isinstance(node.get("user"), dict)]
    return list({user.get("id"): user for user in users}.values())


def _user(user: Mapping[str, Any]) -> UserFact:
    name, email = str(user["name"]), str(user.get("email") or "")
    return UserFact(id=int(user["id"]), login=email or name, name=name, email=email)


def _node(index: int, node: Mapping[str, Any]) -> NodeFact:
    addresses = [ip_address(text) for text in node["ipAddresses"]]
    owner = node.get("user")
    return NodeFact(
        id=int(node["id"]),
        index=index,
        name=str(node["givenName"]),
        user_id=int(owner["id"]) if owner else None,
        tags=tuple(node.get("tags", ())),
        ipv4=next((address for address in addresses if isinstance(address, IPv4Address)), None),
        ipv6=next((address for address in addresses if isinstance(address, IPv6Address)), None),
        approved_routes=tuple(node.get("approvedRoutes", ())),
        created_order=int(node["id"]),
        attributes=dict(node.get("attributes") or {}),
    )
