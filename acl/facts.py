"""What the policy engine is told about the tailnet: users, nodes and their attributes.

Here: plain values. Not here: where they come from. Made by the tailnet rooms of the server, read by
`resolve` and `index`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

__all__ = ["NodeFact", "TailnetFacts", "UserFact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFact:
    """A user.

    Attributes:
        id: grows with creation; SSH rules are cut up in this order.
        login: full login such as `alice@example.com`.
        name: local name, matched by the selector `alice@`.
        provider_identifier: the identity provider's own name for the user; matched before anything else.
        role: `owner`, `admin`, `member`, or another role that has an autogroup.
    """

    id: int
    login: str
    name: str
    email: str = ""
    provider_identifier: str | None = None
    role: str = "member"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFact:
    """A node.

    Attributes:
        index: a small integer chosen by the caller, unique among present nodes: the node's bit in every bit
            set.
        user_id: the owner; ignored while the node has tags.
        approved_routes: prefixes approved for this node, exit routes included.
        created_order: who joined first is primary for a route several nodes have.
        attributes: posture attributes by full name, such as `node:os`.
    """

    id: int
    index: int
    name: str
    user_id: int | None
    tags: tuple[str, ...]
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    created_order: int
    approved_routes: tuple[str, ...] = ()
    online: bool = True
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def owner(self) -> int | None:
        """The user the node belongs to; None for a tagged node, which belongs to its tags."""
        return None if self.tags else self.user_id


@dataclass(frozen=True, slots=True, kw_only=True)
class TailnetFacts:
    """What is known about the tailnet as a whole.

    Attributes:
        domain: name of the tailnet.
        associated_domains: e-mail domains it owns, for `user:*@<domain>` and `localpart:*@<domain>`;
            None: any, where nobody but the tailnet's own people log in.
        auto_updates: whether devices update themselves by default.
        extra_groups: groups synced from an identity provider, `group:x` to logins.
        peers: plain WireGuard peers by name, without `wg:`, to their single addresses.
        peer_profiles: the access profile that is open for a peer, by the peer's name.
    """

    domain: str = ""
    associated_domains: tuple[str, ...] | None = ()
    users: Sequence[UserFact] = ()
    auto_updates: bool = False
    extra_groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    peers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    peer_profiles: Mapping[str, str] = field(default_factory=dict)

    def owns(self, domain: str) -> bool:
        """Whether rules may speak of the users of an e-mail domain."""
        return self.associated_domains is None or domain in self.associated_domains
