"""Small tailnets for the tests of the policy engine: users, nodes and policies in few words."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import acl

USERS = (
    acl.UserFact(id=1, login="alice@example.com", name="alice", email="alice@example.com", role="owner"),
    acl.UserFact(id=2, login="bob@example.com", name="bob", email="bob@example.com", role="admin"),
    acl.UserFact(id=3, login="carol@example.org", name="carol", email="carol@example.org"),
)
FACTS = acl.TailnetFacts(domain="example.com", associated_domains=("example.com",), users=USERS)
TAG_OWNERS = {f"tag:{name}": ["alice@"] for name in ("server", "client", "router", "exit", "db")}


def node(number: int, who: int | str | tuple[str, ...], **more: Any) -> acl.NodeFact:
    """Node `number`, with its number as bit and as end of its addresses; `who` is a user id or tags."""
    tags = (who,) if isinstance(who, str) else who if isinstance(who, tuple) else ()
    given: dict[str, Any] = {
        "id": number,
        "index": number,
        "name": f"n{number}",
        "user_id": who if isinstance(who, int) else None,
        "tags": tags,
        "ipv4": IPv4Address(0x64400000 + number),
        "ipv6": IPv6Address((0xFD7A115CA1E0 << 80) + number),
        "created_order": number,
    }
    return acl.NodeFact(**{**given, **more})


def policy(**sections: Any) -> acl.Policy:
    """A policy of these sections; tags of the tests are declared."""
    return acl.parse_policy(json.dumps({"tagOwners": TAG_OWNERS, **sections}))


def index(the_policy: acl.Policy | None, *nodes: acl.NodeFact) -> acl.PolicyIndex:
    return acl.PolicyIndex(the_policy, FACTS, nodes)


def problems(**sections: Any) -> list[str]:
    """Messages of what is wrong with a policy of these sections."""
    try:
        policy(**sections)
    except acl.PolicyError as error:
        return [problem.message for problem in error.problems]
    return []


def names(bit_set: int) -> list[int]:
    """Positions of the set bits."""
    return [i for i in range(bit_set.bit_length()) if bit_set >> i & 1]
