"""What is kept of plain WireGuard: gateways, peers, enrolment tokens, and what was last seen of a key.

Plain values, stored whole as documents. Times are aware. Nothing here knows what is open at a moment: that
follows from access windows, which `services` knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from coordinator.wireguard.pools import Pool

Kind = Literal["wggateway", "wgpeer", "wgtoken", "wgseen"]
Basis = Literal["profile", "request", "standing"]
"""Why a peer may exist. profile: whatever window of the profile is open for its person; request: one request
for access, and it ends with it; standing: an administrator's word, with or without an end."""
PeerEnd = Literal["revoked", "expired", "request ended", "unused", "gateway deleted", "user gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayKey:
    """One key of a gateway, on an interface of its own. The private half never leaves the gateway.

    `public_key` is empty until the gateway has reported it; `until` is set while another key replaces it.
    """

    key_id: str
    interface: str
    listen_port: int
    since: datetime
    until: datetime | None = None
    public_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A machine that terminates tunnels. `host` is where devices find it, a name or an address.

    `addresses` are its own, one in each network of its pools. `profiles` narrows which profiles it serves;
    none of them: all. `rotate_days` 0: its key is rotated only by hand. `tailnet`: it is a node of the
    tailnet, too, with routes for its pools, so that the policy may speak of its peers as `wg:name`.
    """

    id: int
    name: str
    host: str
    pools: tuple[Pool, ...]
    addresses: tuple[str, ...]
    keys: tuple[GatewayKey, ...]
    token_prefix: str
    token_hash: bytes
    created_at: datetime
    created_by: str
    mtu: int = 1420
    dns: tuple[str, ...] = ()
    keepalive: int = 25
    masquerade: bool = True
    tailnet: bool = False
    profiles: tuple[str, ...] = ()
    rotate_days: int = 0
    declared: bool = False

    @property
    def key(self) -> str:
        """Under which it is stored, and named in the audit log."""
        return f"wggateway:{self.id}"

    def current_key(self) -> GatewayKey:
        """The newest key that devices can use: one that was reported, else simply the newest."""
        known = [key for key in self.keys if key.public_key]
        return (known or list(self.keys))[-1]

    def with_key(self, changed: GatewayKey) -> Gateway:
        """With one of its keys changed."""
        keys = tuple(changed if key.key_id == changed.key_id else key for key in self.keys)
        return replace(self, keys=keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerKey:
    """A key of a device; `until` is set while another key replaces it.

    A preshared key is in the clear in memory alone, and sealed in the store: of the two texts one at most is
    set. In memory the sealed one is set when it could not be opened.
    """

    public_key: str
    since: datetime
    until: datetime | None = None
    preshared_key: str = field(default="", repr=False)
    preshared_since: datetime | None = None
    preshared_sealed: str = field(default="", repr=False)

    def with_preshared(self, secret: str, now: datetime) -> PeerKey:
        """With another preshared key, or none, in place of what it had."""
        since = now if secret else None
        return replace(self, preshared_key=secret, preshared_since=since, preshared_sealed="")

    @property
    def preshared(self) -> bool:
        """Whether it has a preshared key, readable or not."""
        return bool(self.preshared_key or self.preshared_sealed)

    @property
    def unreadable(self) -> bool:
        """Whether its preshared key was sealed with another Noise key, so that nobody can use it."""
        return bool(self.preshared_sealed) and not self.preshared_key

    def valid(self, now: datetime) -> bool:
        """Whether it has not been replaced for good."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A device that speaks plain WireGuard, for a person (`user_id`) or a service.

    `keys` are in the order of their making, all of them while the peer lives. After its end the record stays
    for a while: who it was, and so that its addresses rest.
    """

    id: int
    name: str
    gateway_id: int
    addresses: tuple[str, ...]
    keys: tuple[PeerKey, ...]
    basis: Basis
    created_at: datetime
    created_by: str
    since: datetime
    until: datetime | None = None
    user_id: int | None = None
    service: str = ""
    profile: str = ""
    access_id: int | None = None
    team: str = ""
    keepalive: int | None = None
    reason: str = ""
    ended_at: datetime | None = None
    ended_by: str = ""
    end_reason: PeerEnd | None = None
    declared: bool = False
    last_open: datetime | None = None
    """When it was last noticed that it may be used; what it is called unused by."""

    @property
    def key(self) -> str:
        """Under which it is stored, and named in the audit log."""
        return f"wgpeer:{self.id}"

    @property
    def live(self) -> bool:
        """Whether it has not ended."""
        return self.ended_at is None

    def valid_keys(self, now: datetime) -> tuple[PeerKey, ...]:
        """The keys that count at a moment, oldest first."""
        return tuple(key for key in self.keys if key.valid(now))

    def newest_key(self) -> PeerKey:
        """The key the device is to use."""
        return self.keys[-1]

    def ended(self, now: datetime, who: str, reason: PeerEnd) -> Peer:
        """Over; preshared keys are forgotten."""
        keys = tuple(
            replace(key, until=min(key.until or now, now), preshared_key="", preshared_sealed="")
            for key in self.keys
        )
        return replace(self, ended_at=now, ended_by=who, end_reason=reason, keys=keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentToken:
    """A secret that lets one device become a peer, once; what the peer will be is said here."""

    id: int
    prefix: str
    hash: bytes
    created_at: datetime
    created_by: str
    expires_at: datetime
    user_id: int | None = None
    service: str = ""
    profile: str = ""
    gateway: str = ""
    standing: bool = False
    until: datetime | None = None
    reason: str = ""
    used_at: datetime | None = None
    peer_id: int | None = None
    revoked_at: datetime | None = None

    @property
    def key(self) -> str:
        """Under which it is stored, and named in the audit log."""
        return f"wgtoken:{self.id}"

    def usable(self, now: datetime) -> bool:
        """Whether a device may still use it for the first time."""
        return self.used_at is None and self.revoked_at is None and now < self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a gateway last said of a key, by its peer and the number of the key within it."""

    peer_id: int
    public_key: str
    latest_handshake: datetime | None = None
    endpoint: str = ""
    received_bytes: int = 0
    sent_bytes: int = 0
    refused_packets: int = 0
    connected: bool = False

    @property
    def key(self) -> str:
        """Under which it is stored."""
        return f"wgseen:{self.public_key}"


Record = Gateway | Peer | EnrolmentToken | Seen
RECORD_TYPES: dict[Kind, type[Record]] = {
    "wggateway": Gateway,
    "wgpeer": Peer,
    "wgtoken": EnrolmentToken,
    "wgseen": Seen,
}


def kind_of(key: str) -> Kind:
    """The kind of record a storage key names."""
    kind = key.partition(":")[0]
    for known in RECORD_TYPES:
        if known == kind:
            return known
    raise ValueError(f"`{key}` names no record of plain WireGuard")


def live_peers(peers: Iterable[Peer], gateway_id: int | None = None) -> list[Peer]:
    """Peers that have not ended, of one gateway or of all, by id."""
    found = [peer for peer in peers if peer.live and gateway_id in (None, peer.gateway_id)]
    return sorted(found, key=lambda peer: peer.id)
