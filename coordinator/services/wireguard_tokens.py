"""Enrolment tokens: secrets that let one device each become a peer; and whose a presented one is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from coordinator.services.tailnet import Tailnet
from coordinator.services.wireguard_book import WireGuardBook
from coordinator.services.wireguard_peer_records import PeerWanted, ends
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.bearer_tokens import (
    ENROLMENT_TOKEN,
    SECRET_BYTES,
    new_token,
    split_token,
    token_matches,
)
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, InvalidError
from coordinator.tailnet.users import UserID, require_active
from coordinator.wireguard.model import EnrolmentToken

LIFETIME = timedelta(hours=24)
LONGEST = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWanted:
    """What the peer will be that a token makes."""

    user_id: int | None = None
    service: str = ""
    profile: str = ""
    gateway: str = ""
    standing: bool = False
    until: datetime | None = None
    reason: str = ""
    expires_at: datetime | None = None


class WireGuardTokens:
    """Verbs on enrolment tokens.

    Args:
        tailnet: The writer.
        book: What is published.
        require_profile: Raises where gateways could not hold such a peer to its profile.
        random_bytes: So many random bytes.
    """

    def __init__(
        self,
        tailnet: Tailnet,
        book: WireGuardBook,
        require_profile: Callable[[PeerWanted], None],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._tailnet = tailnet
        self._book = book
        self._require_profile = require_profile
        self._random_bytes = random_bytes

    def all(self) -> list[EnrolmentToken]:
        """All tokens, newest first."""
        return sorted(self._book.tokens.values(), key=lambda token: -token.id)

    def authenticate(self, text: str) -> EnrolmentToken | None:
        """The token a text proves, spent ones included: a device may ask again with the same key."""
        parts = split_token(ENROLMENT_TOKEN, text)
        prefix, secret = parts or ("0" * 12, "")
        found = next((each for each in self._book.tokens.values() if each.prefix == prefix), None)
        matches = token_matches(prefix, None if found is None else found.hash, secret)
        if not matches or parts is None or found is None or found.revoked_at is not None:
            return None
        return found if self._tailnet.clock() < found.expires_at else None

    async def create(self, wanted: TokenWanted, *, actor: Actor) -> tuple[EnrolmentToken, str]:
        """Create a token; returns it with its text, which is never shown again.

        Raises:
            InvalidError: it says too little, or its times make no sense.
            ForbiddenError: its profile is not for plain devices.
            NotFoundError: no such user, profile or gateway.
        """
        now = self._tailnet.clock()
        expires = wanted.expires_at or now + LIFETIME
        if not now < expires <= now + LONGEST:
            raise InvalidError(f"an enrolment token expires in the future, within {LONGEST.days} days")
        self._check(wanted)
        text, prefix, digest = new_token(ENROLMENT_TOKEN, self._random_bytes(SECRET_BYTES))

        def command(directory: Directory) -> EnrolmentToken:
            if wanted.user_id is not None:
                require_active(directory.user(UserID(wanted.user_id)))
            token = EnrolmentToken(
                id=directory.next_id("wireguard_tokens"),
                prefix=prefix,
                hash=digest,
                created_at=now,
                created_by=str(actor),
                expires_at=expires,
                user_id=wanted.user_id,
                service=wanted.service,
                profile=wanted.profile,
                gateway=wanted.gateway,
                standing=wanted.standing,
                until=wanted.until,
                reason=wanted.reason,
            )
            self._put(directory, token, "wgtoken.create", actor)
            return token

        return await self._tailnet.execute(command), text

    async def revoke(self, token_id: int, *, actor: Actor) -> EnrolmentToken:
        """End a token; a peer it made stays.

        Raises:
            NotFoundError: there is none.
            ConflictError: it was revoked, or used, already.
        """

        def command(directory: Directory) -> EnrolmentToken:
            token, now = directory.wireguard.token(token_id), self._tailnet.clock()
            if token.revoked_at is not None:
                raise ConflictError(f"enrolment token {token_id} was revoked already")
            if token.used_at is not None:
                raise ConflictError(
                    f"enrolment token {token_id} was used: revoke peer {token.peer_id} if that was wrong"
                )
            revoked = replace(token, revoked_at=now)
            self._put(directory, revoked, "wgtoken.revoke", actor)
            return revoked

        return await self._tailnet.execute(command)

    def _check(self, wanted: TokenWanted) -> None:
        if (wanted.user_id is None) == (not wanted.service):
            raise InvalidError("say whose device it will be: a `user` or a `service`, not both")
        standing = wanted.standing or wanted.until is not None
        if wanted.service and not standing:
            raise InvalidError("a service has no access windows: use --permanent or --until, and a reason")
        if standing and not wanted.reason.strip():
            raise InvalidError("a peer that stays without access windows needs a reason (--reason)")
        if not standing and not wanted.profile:
            raise InvalidError("say which access profile the device is for: `profile`")
        # What could be no peer is refused now, to whoever can mend it, and not to the device.
        peer = PeerWanted(
            public_key="",
            profile=wanted.profile,
            user_id=wanted.user_id,
            service=wanted.service,
            standing=wanted.standing,
            until=wanted.until,
            reason=wanted.reason,
        )
        ends(peer, self._tailnet.clock())
        self._require_profile(peer)
        if wanted.gateway:
            self._book.gateway(wanted.gateway)

    def _put(self, directory: Directory, token: EnrolmentToken, verb: str, actor: Actor) -> None:
        directory.put_wireguard(token)
        after = {
            "user": token.user_id,
            "service": token.service,
            "profile": token.profile,
            "expires_at": token.expires_at.isoformat(),
            "standing": token.standing or token.until is not None,
        }
        masked = f"{ENROLMENT_TOKEN}{token.prefix}-***"
        now = self._tailnet.clock()
        directory.audit(now, actor, verb, token.key, after, name=masked, reason=token.reason)
