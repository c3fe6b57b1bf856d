"""What is asked of peers, who asks, and the steps on peers that are recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ForbiddenError, InvalidError, NotFoundError
from coordinator.tailnet.users import User
from coordinator.wireguard.model import Basis, EnrolmentToken, Gateway, Peer, PeerEnd

MAX_TEXT = 1000
MAX_SERVICE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WireGuardCaller:
    """Who asks. An administrator may speak for others; `token` is what an enrolling device shows."""

    actor: Actor
    admin: bool = False
    user: User | None = None
    token: EnrolmentToken | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerWanted:
    """What a peer is to be. `standing`: by an administrator's word, without access windows.

    `since` and `until` None: from now on, without an end; `name` empty: one is made; `team` and `keepalive`
    None: as it comes.
    """

    public_key: str
    profile: str = ""
    access_id: int | None = None
    name: str = ""
    gateway: str = ""
    user_id: int | None = None
    service: str = ""
    team: str | None = None
    keepalive: int | None = None
    preshared: bool = False
    standing: bool = False
    since: datetime | None = None
    until: datetime | None = None
    reason: str = ""
    ticket: str = ""
    duration: timedelta | None = None
    addresses: tuple[str, ...] = ()
    declared: bool = False

    def __post_init__(self) -> None:
        """Refuse texts nobody can want.

        Raises:
            InvalidError: which.
        """
        if len(self.reason) > MAX_TEXT:
            raise InvalidError(f"the reason is longer than {MAX_TEXT} characters")
        if len(self.service) > MAX_SERVICE or not (self.service or "-").isprintable():
            raise InvalidError(f"the service is a word of at most {MAX_SERVICE} visible characters")
        if self.keepalive is not None and not 0 <= self.keepalive <= 65535:
            raise InvalidError("the keepalive is from 0 (none) to 65535 seconds")


def differs(peer: Peer, wanted: PeerWanted, basis: Basis, gateway: Gateway | None) -> str:
    """In which way a peer is not what is wanted now; empty when it is. What was not said does not count."""
    names = (str(gateway.id), gateway.name) if gateway is not None else ()
    checks = {
        "person or service": (peer.user_id, peer.service) != (wanted.user_id, wanted.service),
        "profile": peer.profile != wanted.profile,
        "reason to be": peer.basis != basis or peer.access_id != wanted.access_id,
        "gateway": bool(wanted.gateway) and wanted.gateway not in names,
        "name": wanted.name not in ("", peer.name),
        "end": basis == "standing" and peer.until != wanted.until,
        "team": wanted.team not in (None, peer.team),
        "address": bool(wanted.addresses) and {*map(_canonical, wanted.addresses)} != {*peer.addresses},
        "keepalive": wanted.keepalive not in (None, peer.keepalive),
        "preshared key": wanted.preshared and not peer.newest_key().preshared,
    }
    return next((name for name, other in checks.items() if other), "")


def _canonical(address: str) -> str:
    """One spelling of an address; what is none stays as it is, and is nobody's."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def ends(wanted: PeerWanted, now: datetime) -> datetime | None:
    """When a peer ends by itself.

    Raises:
        InvalidError: before it begins.
    """
    if wanted.until is not None and wanted.until <= max(now, wanted.since or now):
        raise InvalidError(f"the end {wanted.until.isoformat()} has passed already, or is before its start")
    return wanted.until


def require_own(peer: Peer, caller: WireGuardCaller) -> None:
    """The caller may change a peer.

    Raises:
        NotFoundError: it is somebody else's; whoever asks is not told that there is one.
    """
    if caller.admin:
        return
    if caller.user is None or peer.user_id != caller.user.id:
        raise NotFoundError(f"WireGuard peer {peer.id} does not exist; `wireguard peers list` shows them")


def use_token(directory: Directory, token: EnrolmentToken, peer: Peer, now: datetime) -> None:
    """An enrolment token is spent, in the same step that makes its peer.

    Raises:
        ForbiddenError: somebody else was faster, or it ended meanwhile.
    """
    current = directory.wireguard.token(token.id)
    if not current.usable(now):
        raise ForbiddenError("this enrolment token was used, has expired or was revoked; ask for another")
    directory.put_wireguard(replace(current, used_at=now, peer_id=peer.id))


def put_ended(
    directory: Directory, peer: Peer, now: datetime, actor: Actor, why: PeerEnd, reason: str = ""
) -> Peer:
    """A peer ends, and is recorded to."""
    ended = peer.ended(now, str(actor), why)
    directory.put_wireguard(ended)
    record_peer(directory, now, actor, "wgpeer.end", ended, reason=reason)
    return ended


def record_peer(
    directory: Directory,
    now: datetime,
    actor: Actor,
    verb: str,
    peer: Peer,
    *,
    before: Peer | None = None,
    reason: str = "",
) -> None:
    """One step of a peer in the audit log."""
    directory.audit(
        now,
        actor,
        verb,
        peer.key,
        peer_facts(peer),
        before=None if before is None else peer_facts(before),
        name=peer.name,
        reason=reason or directory.origin.reason or ("" if verb == "wgpeer.end" else peer.reason),
    )


def peer_facts(peer: Peer) -> dict[str, Any]:
    """A peer for the audit log; never a preshared key."""
    return {
        "user": peer.user_id,
        "service": peer.service,
        "gateway": peer.gateway_id,
        "profile": peer.profile,
        "access": peer.access_id,
        "basis": peer.basis,
        "addresses": list(peer.addresses),
        "keys": [key.public_key for key in peer.keys],
        "keys_until": [key.until.isoformat() if key.until else None for key in peer.keys],
        "until": peer.until.isoformat() if peer.until else None,
        "end_reason": peer.end_reason,
    }
