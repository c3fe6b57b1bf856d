"""A node of the tailnet: what is durable about it and what is volatile.

Durable facts reach the database before the client is told. Volatile ones (endpoints, home DERP, online,
last seen, Hostinfo) change in memory at once and are written in batches; clients restore them themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NewType

from coordinator.tailcfg.keys import DiscoKey, MachineKey, NetworkLockKey, NodeKey
from coordinator.tailnet.users import UserID

NodeID = NewType("NodeID", int)

AttributeValue = str | int | float | bool

REGISTERED_BY_AUTH_KEY = "authkey"
REGISTERED_BY_CLI = "cli"
REGISTERED_BY_OIDC = "oidc"

APPROVED = "approved"
PENDING = "pending"
REJECTED = "rejected"
"""Device approval. A node that is not approved sees nobody and nobody sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Somebody asked for a new node key.

    `ends_at` is the expiry this has put in the place of `former_expiry`. `replaced` is the key that is no
    more, once the client has made a new one.
    """

    asked_at: datetime
    ends_at: datetime | None = None
    former_expiry: datetime | None = None
    replaced: NodeKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine in the tailnet.

    Exactly one of `user_id` and `tags` says who owns it: a tagged node belongs to its tags, never to a user.
    `expiry` None means the key never expires. All times are aware, in UTC.
    """

    id: NodeID
    machine_key: MachineKey
    node_key: NodeKey
    disco_key: DiscoKey | None = None
    network_lock_key: NetworkLockKey | None = None
    user_id: UserID | None
    tags: tuple[str, ...] = ()
    hostname: str
    """As the client reports it."""
    given_name: str
    """The DNS label other nodes see; unique in the tailnet."""
    given_name_fixed: bool = False
    """Set by `nodes rename`: later host name changes no longer alter the given name."""
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    register_method: str = REGISTERED_BY_AUTH_KEY
    auth_key_id: int | None = None
    ephemeral: bool = False
    approval: str = APPROVED
    expiry: datetime | None = None
    created_at: datetime
    key_since: datetime | None = None
    """When the client made this node key known; None: not recorded, at `created_at` or later."""
    rotation: Rotation | None = None
    approved_routes: tuple[str, ...] = ()
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict, hash=False)
    """Posture attributes that were set, by full name such as `custom:tier`."""

    # volatile
    hostinfo: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The client's own Hostinfo document, unknown fields kept; treat as read-only."""
    endpoints: tuple[str, ...] = ()
    home_derp: int = 0
    cap_version: int = 0
    last_seen: datetime | None = None
    online: bool = False

    @property
    def tagged(self) -> bool:
        """Whether the node belongs to tags and not to a user."""
        return bool(self.tags)

    @property
    def approved(self) -> bool:
        """Whether an administrator, or a rule that stands for one, admitted the device."""
        return self.approval == APPROVED

    @property
    def rotation_asked(self) -> datetime | None:
        """Since when a new key is awaited."""
        awaited = self.rotation is not None and self.rotation.replaced is None
        return self.rotation.asked_at if self.rotation is not None and awaited else None

    @property
    def addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """Tailscale addresses, IPv4 first."""
        return tuple(address for address in (self.ipv4, self.ipv6) if address is not None)

    def expired(self, now: datetime) -> bool:
        """Whether the node key is past its expiry at `now`."""
        return self.expiry is not None and self.expiry <= now
