"""The tailnet as the policy engine sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from acl import NodeFact, TailnetFacts, UserFact
from coordinator.tailcfg.hostinfo import Hostinfo, routable_ips
from coordinator.tailnet.nodes import AttributeValue, Node
from coordinator.tailnet.users import User

_POSTURE_FIELDS = {
    "node:os": "OS",
    "node:osVersion": "OSVersion",
    "node:tsVersion": "IPNVersion",
}


def node_fact(node: Node, index: int) -> NodeFact:
    """What the policy may depend on; equal facts mean that the policy's answers are unchanged.

    A route counts while it is both approved and advertised, and its router is an approved device.
    """
    routes: tuple[str, ...] = ()
    if node.approved_routes and node.approved:
        advertised = routable_ips(node.hostinfo)
        routes = tuple(route for route in node.approved_routes if route in advertised)
    return NodeFact(
        id=node.id,
        index=index,
        name=node.given_name,
        user_id=None if node.tags else node.user_id,
        tags=node.tags,
        ipv4=node.ipv4,
        ipv6=node.ipv6,
        approved_routes=routes,
        created_order=node.id,
        # Only a router's presence matters (who is primary), so nobody else's costs a recomputation.
        online=node.online if routes else True,
        attributes=node_attributes(node),
    )


def node_attributes(node: Node) -> dict[str, AttributeValue]:
    """Every posture attribute known of a node: its client's, and those that were set here."""
    return {**posture_attributes(node.hostinfo), **node.attributes}


def posture_attributes(hostinfo: Hostinfo) -> dict[str, AttributeValue]:
    """The built-in posture attributes a Hostinfo tells of."""
    attributes: dict[str, AttributeValue] = {}
    for name, key in _POSTURE_FIELDS.items():
        value = hostinfo.get(key)
        if isinstance(value, str) and value:
            attributes[name] = value
    encrypted = hostinfo.get("StateEncrypted")
    if isinstance(encrypted, bool):
        attributes["node:tsStateEncrypted"] = encrypted
    version = attributes.get("node:tsVersion")
    if isinstance(version, str):
        minor = version.split(".")[1:2]
        if minor and minor[0].isdigit():
            attributes["node:tsReleaseTrack"] = "unstable" if int(minor[0]) % 2 else "stable"
    return attributes


def tailnet_facts(
    users: Iterable[User],
    *,
    domain: str,
    associated_domains: tuple[str, ...] | None = None,
    auto_updates: bool = False,
    declared_groups: tuple[str, ...] = (),
    peers: Mapping[str, Sequence[str]] | None = None,
    peer_profiles: Mapping[str, str] | None = None,
) -> TailnetFacts:
    """The users and settings side of the facts.

    Members of synced groups are named by their identity, which means nobody else; the policy's own members of
    a group of the same name are united with them. `peers` are plain WireGuard peers by name, `peer_profiles`
    what is open for them.
    """
    users = list(users)
    groups: dict[str, list[str]] = {name: [] for name in declared_groups}
    for user in users:
        for name in user.groups:
            if user.provider_identifier:
                groups.setdefault(name, []).append(user.provider_identifier)
    return TailnetFacts(
        domain=domain,
        associated_domains=associated_domains,
        users=[
            UserFact(
                id=user.id,
                login=user.login,
                name=user.name,
                email=user.email,
                provider_identifier=user.provider_identifier,
                role=user.role,
            )
            for user in users
        ],
        auto_updates=auto_updates,
        extra_groups=groups,
        peers=peers or {},
        peer_profiles=peer_profiles or {},
    )
