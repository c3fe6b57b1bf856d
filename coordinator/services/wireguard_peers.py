"""Peers of plain WireGuard: provision, rotate, revoke.

A provisioning is one step of the single writer, together with the request for access it may make and the
enrolment token it may use up: all of it becomes durable, or nothing was allocated. Asked again with the same
key and the same wish, the answer is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain, count

from acl import AccessProfile, Policy
from coordinator.services.access import AccessService
from coordinator.services.access_rules import Asked, profile_of
from coordinator.services.tailnet import Tailnet
from coordinator.services.wireguard_allocation import allocate, claim, pool_for
from coordinator.services.wireguard_book import WireGuardBook
from coordinator.services.wireguard_claims import public_key, require_free_key, require_name
from coordinator.services.wireguard_openings import WireGuardOpenings
from coordinator.services.wireguard_peer_records import (
    PeerWanted,
    WireGuardCaller,
    differs,
    ends,
    put_ended,
    record_peer,
    require_own,
    use_token,
)
from coordinator.services.wireguard_preshared import require_readable
from coordinator.services.wireguard_reach import WireGuardReach
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, ForbiddenError, InvalidError
from coordinator.tailnet.users import User, UserID, require_active
from coordinator.wireguard.keys import new_preshared_key
from coordinator.wireguard.model import Basis, Gateway, Peer, PeerKey, live_peers

DEFAULT_OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRules:
    """How long a freed address rests, and how many devices somebody may bring without an administrator."""

    address_rest: timedelta = timedelta(hours=1)
    peers_per_user: int = 10


class WireGuardPeers:
    """Verbs on peers."""

    def __init__(
        self,
        tailnet: Tailnet,
        book: WireGuardBook,
        access: AccessService,
        openings: WireGuardOpenings,
        reach: WireGuardReach,
        rules: PeerRules,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._tailnet = tailnet
        self._book = book
        self._access = access
        self._openings = openings
        self._reach = reach
        self._rules = rules
        self._random_bytes = random_bytes
        access.rules.has_plain_device = self._has_device

    async def provision(self, wanted: PeerWanted, caller: WireGuardCaller) -> tuple[Peer, bool]:
        """A device becomes a peer; returns it, and whether it is new.

        Raises:
            InvalidError: the key, the name or the wish makes no sense.
            ForbiddenError: this person may not have it.
            NotFoundError: no such profile, request or gateway.
            ConflictError: the key or the name is in use elsewhere, or the key stands for another wish.
            UnavailableError: the pool is exhausted, or nothing can be stored.
        """
        wanted = replace(wanted, public_key=public_key(wanted.public_key))
        basis, wanted = self._basis(wanted, caller)
        profile = self._profile(wanted, self._access.rules.policy)
        known = self._known(wanted, basis, caller)
        ask = self._ask(wanted, basis, profile, known)
        if known is not None and ask is None:
            return known, False
        made: list[tuple[Peer, bool]] = []

        def command(directory: Directory, request: AccessRequest | None = None) -> None:
            found = known or self._same(directory, wanted, basis, caller)
            made.append((found or self.put_new(directory, wanted, basis, caller), found is None))

        if ask is not None:
            # The request and the peer are one step.
            await self._access.request(ask, actor=caller.actor, along=command)
        else:
            await self._tailnet.execute(command)
        return made[-1]

    def put_new(
        self, directory: Directory, wanted: PeerWanted, basis: Basis, caller: WireGuardCaller
    ) -> Peer:
        """Within a command: a new peer, with everything checked that only the writer knows."""
        now = self._tailnet.clock()
        user = None if wanted.user_id is None else directory.user(UserID(wanted.user_id))
        if user is not None:
            require_active(user)
        require_free_key(directory, wanted.public_key)
        self._require_room(directory, user, caller)
        gateway = self.gateway_for(directory, wanted)
        pool = pool_for(gateway, wanted.team, self._teams(gateway, user))
        addresses = (
            claim(directory, pool, wanted.addresses)
            if wanted.addresses
            else allocate(directory, pool, now, self._rules.address_rest)
        )
        peer_id = directory.next_id("wireguard_peers")
        secret = new_preshared_key(self._random_bytes) if wanted.preshared else ""
        key = PeerKey(
            public_key=wanted.public_key,
            since=now,
            preshared_key=secret,
            preshared_since=now if secret else None,
        )
        peer = Peer(
            id=peer_id,
            name=self._free_name(directory, wanted, user, peer_id),
            gateway_id=gateway.id,
            addresses=addresses,
            keys=(key,),
            basis=basis,
            created_at=now,
            created_by=str(caller.actor),
            since=wanted.since or now,
            until=ends(wanted, now),
            user_id=wanted.user_id,
            service=wanted.service,
            profile=wanted.profile,
            access_id=wanted.access_id,
            team=pool.team,
            keepalive=wanted.keepalive,
            reason=wanted.reason,
            declared=wanted.declared,
        )
        if caller.token is not None:
            use_token(directory, caller.token, peer, now)
        record_peer(directory, now, caller.actor, "wgpeer.create", peer)
        directory.put_wireguard(peer)
        return peer

    async def revoke(self, peer_id: int, caller: WireGuardCaller, reason: str = "") -> Peer:
        """End a peer now, on every gateway.

        Raises:
            NotFoundError: there is none, or it is somebody else's.
            ConflictError: it has ended already.
        """

        def command(directory: Directory) -> Peer:
            peer = directory.wireguard.peer(peer_id)
            require_own(peer, caller)
            if not peer.live:
                raise ConflictError(
                    f"peer `{peer.name}` ended at {peer.ended_at} already ({peer.end_reason})"
                )
            return put_ended(directory, peer, self._tailnet.clock(), caller.actor, "revoked", reason)

        return await self._tailnet.execute(command)

    async def rotate(self, peer_id: int, new_key: str, overlap: timedelta, caller: WireGuardCaller) -> Peer:
        """Another key for a device; the former one is valid for the overlap. The same key again is no change.

        Raises:
            InvalidError: the key or the overlap makes no sense.
            ConflictError: the key is in use elsewhere, or the peer has ended.
        """
        new_key = public_key(new_key)
        if not timedelta() <= overlap <= LONGEST_OVERLAP:
            raise InvalidError(f"the overlap is from 0 to {LONGEST_OVERLAP.days} days")

        def command(directory: Directory) -> Peer:
            peer, now = directory.wireguard.peer(peer_id), self._tailnet.clock()
            require_own(peer, caller)
            _require_live(peer)
            newest = peer.newest_key()
            if newest.public_key == new_key:
                return peer
            require_free_key(directory, new_key)
            secret = new_preshared_key(self._random_bytes) if newest.preshared else ""
            key = PeerKey(
                public_key=new_key,
                since=now,
                preshared_key=secret,
                preshared_since=now if secret else None,
            )
            # Of three keys the oldest goes: a device has two at most.
            changed = replace(peer, keys=(replace(newest, until=now + overlap), key))
            record_peer(directory, now, caller.actor, "wgpeer.rotate", changed, before=peer)
            directory.put_wireguard(changed)
            return changed

        return await self._tailnet.execute(command)

    async def rotate_preshared(self, peer_id: int, caller: WireGuardCaller) -> Peer:
        """Another preshared key for a peer's newest key, or its first; valid at once.

        Raises:
            NotFoundError, ConflictError: there is no such living peer.
        """

        def command(directory: Directory) -> Peer:
            peer, now = directory.wireguard.peer(peer_id), self._tailnet.clock()
            require_own(peer, caller)
            _require_live(peer)
            secret = new_preshared_key(self._random_bytes)
            key = peer.newest_key().with_preshared(secret, now)
            changed = replace(peer, keys=(*peer.keys[:-1], key))
            record_peer(directory, now, caller.actor, "wgpeer.rotate_preshared", changed)
            directory.put_wireguard(changed)
            return changed

        return await self._tailnet.execute(command)

    def require_profile(self, wanted: PeerWanted, policy: Policy | None) -> None:
        """A policy, which may not be in force yet, has the profile, and gateways can hold somebody to it.

        Raises:
            NotFoundError, InvalidError, ForbiddenError: what is wrong.
        """
        self._profile(wanted, policy)

    def require_offered(self, wanted: PeerWanted) -> None:
        """The same, of the policy in force."""
        self._profile(wanted, self._access.rules.policy)

    def new_secret(self) -> str:
        """A preshared key."""
        return new_preshared_key(self._random_bytes)

    def gateway_for(self, directory: Directory, wanted: PeerWanted) -> Gateway:
        """The gateway that was named, or the only one that serves the profile.

        Raises:
            NotFoundError: there is none of that name.
            InvalidError: several could be meant, or none.
            ConflictError: it has not started yet, so that nothing could be said of its key.
        """
        fit = [
            gateway
            for gateway in directory.wireguard.gateways()
            if not gateway.profiles or wanted.profile in gateway.profiles
        ]
        if wanted.gateway:
            made_now = directory.wireguard.named("wggateway", wanted.gateway)
            named = (
                made_now
                if isinstance(made_now, Gateway)
                else directory.wireguard.gateway(self._book.gateway(wanted.gateway).id)
            )
            if named not in fit:
                raise InvalidError(f"gateway `{named.name}` does not serve profile `{wanted.profile}`")
            fit = [named]
        if not fit:
            raise InvalidError("no WireGuard gateway serves this; `wireguard gateways create` makes one")
        if len(fit) > 1:
            names = ", ".join(f"`{gateway.name}`" for gateway in fit)
            raise InvalidError(f"say which gateway: {names}")
        (found,) = fit
        if not found.current_key().public_key and not wanted.declared:
            raise ConflictError(
                f"gateway `{found.name}` has never reported its key: start `coordinator gateway` there first"
            )
        return found

    # inner

    def _basis(self, wanted: PeerWanted, caller: WireGuardCaller) -> tuple[Basis, PeerWanted]:
        """Why the peer may exist, and for whom; what a caller may not say is refused here."""
        if caller.token is not None:
            token = caller.token
            wanted = replace(
                wanted,
                user_id=token.user_id,
                service=token.service,
                profile=token.profile,
                gateway=token.gateway or wanted.gateway,
                standing=token.standing,
                until=token.until,
                reason=wanted.reason or token.reason,
                access_id=None,
            )
        elif not caller.admin:
            mine = caller.user.id if caller.user is not None else None
            if wanted.user_id not in (None, mine) or wanted.service or wanted.standing or wanted.until:
                raise ForbiddenError("only administrators say whose a device is, or that it may stay")
            if wanted.addresses or wanted.team is not None or wanted.since is not None:
                raise ForbiddenError("only administrators choose addresses, teams and when a device begins")
            wanted = replace(wanted, user_id=mine)
        if wanted.access_id is not None:
            return "request", self._of_request(wanted, caller)
        if wanted.standing or wanted.until is not None:
            return "standing", self._standing(wanted)
        if wanted.user_id is None:
            raise InvalidError(
                "say whose device it is: `user`; a service needs --permanent or --until, and a reason"
            )
        if not wanted.profile:
            raise InvalidError("say which access profile the device is for: `profile`")
        return "profile", wanted

    def _of_request(self, wanted: PeerWanted, caller: WireGuardCaller) -> PeerWanted:
        request = self._access.get(wanted.access_id or 0)
        if not caller.admin and (caller.user is None or caller.user.id != request.user_id):
            raise ForbiddenError(f"access request {request.id} is somebody else's")
        if request.node_id is not None or request.mint:
            raise InvalidError(f"access request {request.id} is for one machine of the tailnet")
        if self._openings.over(request.id, self._tailnet.clock()):
            raise ConflictError(f"access request {request.id} is over; ask for a new one")
        if wanted.profile not in ("", request.profile):
            raise InvalidError(f"access request {request.id} is for profile `{request.profile}`")
        return replace(wanted, user_id=int(request.user_id), profile=request.profile, standing=False)

    def _standing(self, wanted: PeerWanted) -> PeerWanted:
        now = self._tailnet.clock()
        if (wanted.user_id is None) == (not wanted.service):
            raise InvalidError("say whose device it is: a `user` or a `service`, not both")
        if not wanted.reason.strip():
            raise InvalidError("a peer that stays without access windows needs a reason (--reason)")
        if wanted.until is not None and wanted.until <= max(now, wanted.since or now):
            raise InvalidError(
                f"the end {wanted.until.isoformat()} has passed already, or is before its start"
            )
        return wanted

    def _profile(self, wanted: PeerWanted, policy: Policy | None) -> AccessProfile | None:
        if not wanted.profile:
            return None
        profile = profile_of(policy, wanted.profile)
        self._reach.require_supported(profile, policy)
        if profile.src_posture and not (wanted.standing or wanted.until):
            raise ForbiddenError(
                f"profile `{wanted.profile}` wants machines in order (srcPosture), and a plain WireGuard "
                "device can show nothing of the kind"
            )
        return profile

    def _known(self, wanted: PeerWanted, basis: Basis, caller: WireGuardCaller) -> Peer | None:
        """The living peer of this key, if it is the same wish of the same person.

        Raises:
            ConflictError: it is another one.
        """
        for peer in self._book.peers.values():
            if not peer.live or peer.newest_key().public_key != wanted.public_key:
                continue
            other = differs(peer, wanted, basis, self._book.gateways.get(peer.gateway_id))
            if caller.token is not None and caller.token.peer_id not in (None, peer.id):
                other = "token"
            if not other:
                require_readable(peer)
                return peer
            if not caller.admin and (caller.user is None or peer.user_id != caller.user.id):
                raise ConflictError("the key is in use elsewhere; make a new one with `wg genkey`")
            raise ConflictError(
                f"the key is peer `{peer.name}` already, with another {other}: revoke that, or make a new key"
            )
        if caller.token is not None and not caller.token.usable(self._tailnet.clock()):
            raise ForbiddenError("this enrolment token was used, has expired or was revoked; ask for another")
        return None

    def _same(
        self, directory: Directory, wanted: PeerWanted, basis: Basis, caller: WireGuardCaller
    ) -> Peer | None:
        """The same question may have come twice at once: then the first has been answered by now."""
        peer = directory.wireguard.holder_of_key(wanted.public_key)
        if not isinstance(peer, Peer) or peer.newest_key().public_key != wanted.public_key:
            return None
        if caller.token is not None and directory.wireguard.token(caller.token.id).peer_id != peer.id:
            return None
        same = not differs(peer, wanted, basis, self._book.gateways.get(peer.gateway_id))
        return peer if same else None

    def _ask(
        self, wanted: PeerWanted, basis: Basis, profile: AccessProfile | None, known: Peer | None
    ) -> Asked | None:
        """The request that has to be made, if access is neither open nor asked for."""
        if basis != "profile" or profile is None or wanted.user_id is None:
            return None
        if self._openings.pending(wanted.user_id, wanted.profile, self._tailnet.clock()) is not None:
            return None
        if known is not None and not (wanted.reason or wanted.ticket or wanted.duration):
            return None
        return Asked(
            profile=wanted.profile,
            user=self._user(wanted.user_id),
            duration=wanted.duration,
            reason=wanted.reason,
            ticket=wanted.ticket,
            plain=True,
        )

    def _user(self, user_id: int) -> User:
        found = self._tailnet.snapshot.users.get(UserID(user_id))
        if found is None:
            raise InvalidError(f"user {user_id} does not exist")
        return found

    def _teams(self, gateway: Gateway, user: User | None) -> tuple[str, ...]:
        """The gateway's teams a person is in; a team is a group of the policy."""
        index = self._tailnet.world.policy
        teams = [pool.team for pool in gateway.pools if pool.team.startswith("group:")]
        return tuple(team for team in teams if user is not None and index.means_user([team], user.id))

    def _require_room(self, directory: Directory, user: User | None, caller: WireGuardCaller) -> None:
        if caller.admin or user is None:
            return
        count = sum(peer.user_id == user.id for peer in live_peers(directory.wireguard.peers()))
        if count >= self._rules.peers_per_user:
            raise ConflictError(
                f"`{user.login}` has {count} devices already; revoke one that is not needed any more"
            )

    def _free_name(self, directory: Directory, wanted: PeerWanted, user: User | None, peer_id: int) -> str:
        if wanted.name:
            name = require_name(wanted.name)
            if directory.wireguard.named("wgpeer", name) is not None:
                raise ConflictError(f"there is a WireGuard peer `{name}` already")
            return name
        kept = (user.name or user.login).partition("@")[0] if user is not None else wanted.service
        stem = "".join(char if char.isascii() and char.isalnum() else "-" for char in kept.lower()).strip("-")
        base = f"{stem[:40].strip('-') or 'peer'}-{peer_id}"
        # Somebody may have called another device so by hand.
        more = (f"{base}-{number}" for number in count(2))
        return next(name for name in chain([base], more) if not directory.wireguard.named("wgpeer", name))

    def _has_device(self, user_id: int, profile: str) -> bool:
        return any(
            peer.user_id == user_id and peer.profile == profile and peer.basis == "profile"
            for peer in live_peers(self._book.peers.values())
        )


def _require_live(peer: Peer) -> None:
    if not peer.live:
        raise ConflictError(f"peer `{peer.name}` has ended ({peer.end_reason}); provision the device anew")
