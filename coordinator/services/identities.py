"""Identities at providers and the users they are: logging in, linking, shutting out.

An identity is its issuer and subject, nothing else. An e-mail address or a name that somebody else has
already is never taken over, since rules of the policy may speak of it; who shall be the same user is for an
administrator to say (`link`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from coordinator.oidc.identity import Identity
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from coordinator.tailnet.identities import LinkedIdentity, united_groups
from coordinator.tailnet.users import User, UserID, suspension_notice, validate_user_name

PROVIDER = "oidc"
_PLACEHOLDER = re.compile(r"user-[0-9]+", re.IGNORECASE)
REFRESHER = Actor(kind="system", name="identity-refresh")


class IdentityService:
    """Verbs on identities."""

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet = tailnet

    async def log_in(self, identity: Identity, sealed_token: str) -> User:
        """Somebody came from a provider, which vouches for them: their user, made if there is none.

        Args:
            identity: Verified, and allowed by the filters.
            sealed_token: The refresh token, sealed for the identity; empty without one.

        Raises:
            ForbiddenError: an administrator has suspended the user.
            ConflictError: another user has the e-mail address; an administrator has to link the identity.
        """

        def command(directory: Directory) -> User:
            now = self._tailnet.clock()
            user = _holder(directory, identity.identifier) or _create(directory, identity, now)
            if user.suspended_at is not None:
                raise ForbiddenError(suspension_notice(user))
            changed = self._take(directory, user, identity, sealed_token, now, restore=True)
            actor = Actor(kind="user", name=changed.login)
            after = {"identity": identity.identifier, "provider": identity.provider}
            directory.audit(now, actor, "user.login", f"user:{user.id}", after, name=changed.name)
            return changed

        return await self._tailnet.execute(command)

    async def known(self, identifier: str) -> User | None:
        """The user an identity is, if it is one."""
        return await self._tailnet.execute(lambda directory: _holder(directory, identifier))

    async def keep_token(self, tried: LinkedIdentity, sealed_token: str) -> LinkedIdentity:
        """The provider gave the next refresh token; what it says of the user follows, or does not.

        Returns:
            The identity with it; as it was tried, if somebody logged in meanwhile.
        """

        def command(directory: Directory) -> LinkedIdentity:
            current = directory.identity(tried.id)
            if current is None or current.refresh_token != tried.refresh_token:
                return tried
            kept = replace(current, refresh_token=sealed_token)
            directory.put_identity(kept, noteworthy=False)
            return kept

        return await self._tailnet.execute(command)

    async def refreshed(self, tried: LinkedIdentity, identity: Identity | None, sealed_token: str) -> None:
        """The provider renewed a grant.

        Args:
            tried: As it was when the provider was asked; a login in between has gone ahead of it.
            identity: What it says of the user now; None when it said nothing new.
            sealed_token: The newest refresh token.
        """

        def command(directory: Directory) -> None:
            current = directory.identity(tried.id)
            if current is None or current.refresh_token != tried.refresh_token:
                return
            now = self._tailnet.clock()
            if identity is None:
                renewed = replace(current, refresh_token=sealed_token, refreshed_at=now)
                directory.put_identity(renewed, noteworthy=False)
            else:
                user = directory.user(current.user_id)
                # Shut out by another of their providers, they have to log in: a renewal is no proof of that.
                self._take(directory, user, identity, sealed_token, now, restore=False)

        await self._tailnet.execute(command)

    async def shut_out(self, tried: LinkedIdentity, reason: str) -> bool:
        """The provider no longer vouches for a user: their nodes expire now, nothing new joins for them.

        Returns:
            False if they logged in again meanwhile.
        """

        def command(directory: Directory) -> bool:
            current = directory.identity(tried.id)
            if current is None or current.refresh_token != tried.refresh_token:
                return False
            now = self._tailnet.clock()
            directory.put_identity(replace(current, refresh_token="", groups=()))
            user = directory.user(current.user_id)
            groups = united_groups(directory.identities_of_user(user.id))
            directory.put_user(replace(user, offboarded_at=now, groups=groups))
            valid = [node for node in directory.nodes_of_user(user.id) if not node.expired(now)]
            for node in valid:
                directory.put_node(replace(node, expiry=now))
            after = {"expired_nodes": [node.id for node in valid], "identity": tried.id}
            target = f"user:{user.id}"
            directory.audit(now, REFRESHER, "user.offboard", target, after, name=user.name, reason=reason)
            return True

        return await self._tailnet.execute(command)

    async def link(self, user_id: int, identifier: str, *, actor: Actor) -> User:
        """Say that an identity is this user, besides those that are already; it becomes their main one.

        Raises:
            InvalidError: it is no identity.
            ConflictError: it is another user's.
        """
        _require_identifier(identifier)

        def command(directory: Directory) -> User:
            user = directory.user(UserID(user_id))
            holder = _holder(directory, identifier)
            if holder is not None and holder.id != user.id:
                raise ConflictError(
                    f"identity `{identifier}` is user `{holder.name or holder.login}` (id {holder.id}); "
                    "unlink it there, or delete that user first"
                )
            if user.provider_identifier == identifier and directory.identity(identifier) is not None:
                return user
            now = self._tailnet.clock()
            for each in {identifier, user.provider_identifier} - {None}:
                if each is not None and directory.identity(each) is None:
                    directory.put_identity(LinkedIdentity(id=each, user_id=user.id, linked_at=now))
            linked = replace(user, provider=PROVIDER, provider_identifier=identifier)
            directory.put_user(linked)
            before, after = {"identity": user.provider_identifier}, {"identity": identifier}
            target = f"user:{user_id}"
            directory.audit(now, actor, "user.link", target, after, before=before, name=user.name)
            return linked

        return await self._tailnet.execute(command)

    async def unlink(self, user_id: int, identifier: str, *, actor: Actor) -> User:
        """Say that an identity is this user no more. Nodes stay; without identities the user is a local one.

        Raises:
            NotFoundError: it is not this user's.
            ConflictError: a local user has the name.
        """

        def command(directory: Directory) -> User:
            user = directory.user(UserID(user_id))
            holder = _holder(directory, identifier)
            if holder is None or holder.id != user.id:
                raise NotFoundError(f"identity `{identifier}` is not linked to user `{user.name}`")
            if directory.identity(identifier) is not None:
                directory.delete_identity(identifier)
            left = directory.identities_of_user(user.id)
            main = user.provider_identifier
            if main == identifier:
                main = left[-1].id if left else None
            if main is None:
                _require_local_name(directory, user)
            changed = replace(
                user,
                provider=PROVIDER if main else "",
                provider_identifier=main,
                groups=united_groups(left),
            )
            directory.put_user(changed)
            target, before = f"user:{user_id}", {"identity": identifier}
            directory.audit(
                self._tailnet.clock(), actor, "user.unlink", target, before=before, name=user.name
            )
            return changed

        return await self._tailnet.execute(command)

    async def of_user(self, user_id: int) -> list[LinkedIdentity]:
        """The identities of a user, those they have not logged in with since they were imported included."""

        def command(directory: Directory) -> list[LinkedIdentity]:
            user = directory.user(UserID(user_id))
            found = directory.identities_of_user(user.id)
            main = user.provider_identifier
            if main is not None and directory.identity(main) is None:
                found.append(LinkedIdentity(id=main, user_id=user.id, linked_at=user.created_at))
            return found

        return await self._tailnet.execute(command)

    async def renewable(self, before: datetime) -> Sequence[LinkedIdentity]:
        """Identities with a refresh token that was last used before a moment, longest ago first."""

        def command(directory: Directory) -> list[LinkedIdentity]:
            due = [
                (each.refreshed_at or each.linked_at, each)
                for each in directory.identities()
                if each.refresh_token
            ]
            return [each for at, each in sorted(due, key=lambda pair: pair[0]) if at <= before]

        return await self._tailnet.execute(command)

    def _take(
        self,
        directory: Directory,
        user: User,
        identity: Identity,
        sealed_token: str,
        now: datetime,
        *,
        restore: bool,
    ) -> User:
        """What a provider says of a user that is there; the profile comes from their main identity."""
        known = directory.identity(identity.identifier)
        renewed = LinkedIdentity(
            id=identity.identifier,
            user_id=user.id,
            provider=identity.provider,
            groups=identity.groups,
            refresh_token=sealed_token or (known.refresh_token if known else ""),
            refreshed_at=now,
            linked_at=known.linked_at if known else now,
        )
        directory.put_identity(renewed, noteworthy=False)
        changed = replace(
            user,
            offboarded_at=None if restore else user.offboarded_at,
            groups=united_groups(directory.identities_of_user(user.id)),
        )
        if user.provider_identifier == identity.identifier:
            changed = _with_profile(directory, changed, identity)
        if changed != user:
            directory.put_user(changed)
            before, after = _difference(user, changed)
            actor, target = Actor(kind="system", name=f"oidc:{identity.provider}"), f"user:{user.id}"
            directory.audit(now, actor, "user.update", target, after, before=before, name=changed.name)
        return changed


def _holder(directory: Directory, identifier: str) -> User | None:
    """Whose identity it is; imported users have theirs in their own row only."""
    known = directory.identity(identifier)
    if known is not None:
        return directory.user(known.user_id)
    return next((user for user in directory.users() if user.provider_identifier == identifier), None)


def _create(directory: Directory, identity: Identity, now: datetime) -> User:
    twin = next((user for user in directory.users() if _goes_by(user, identity.email)), None)
    if twin is not None:
        raise ConflictError(
            f"`{identity.email}` is user `{twin.name or twin.login}` (id {twin.id}) already, who has another "
            "login; if both are the same person, an administrator says so with "
            f"`coordinator users link --identifier {twin.id} {identity.identifier}`"
        )
    user_id = UserID(directory.next_id("users"))
    fresh = User(
        id=user_id,
        name=f"user-{user_id}",
        provider=PROVIDER,
        provider_identifier=identity.identifier,
        created_at=now,
    )
    user = _with_profile(directory, fresh, identity)
    directory.put_user(user)
    after = {"name": user.name, "email": user.email, "identity": identity.identifier}
    actor = Actor(kind="system", name=f"oidc:{identity.provider}")
    directory.audit(now, actor, "user.create", f"user:{user.id}", after, name=user.name)
    return user


def _with_profile(directory: Directory, user: User, identity: Identity) -> User:
    """The user with what the provider says of them, as far as it is valid and nobody else's."""
    others = [other for other in directory.users() if other.id != user.id]

    def free(text: str) -> bool:
        return bool(text) and not any(_goes_by(other, text) for other in others)

    # A name people can choose themselves must not look like an address that is somebody else's to prove.
    # Nor like the name that a later user without a usable one is given.
    own = "@" not in identity.username and not _PLACEHOLDER.fullmatch(identity.username)
    candidates = [identity.username] if own else []
    names = [name for name in (*candidates, identity.email) if _valid(name) and free(name)]
    return replace(
        user,
        name=names[0] if names else user.name,
        display_name=identity.display_name or user.display_name,
        email=identity.email if free(identity.email) else user.email,
        profile_pic_url=identity.picture or user.profile_pic_url,
    )


def _goes_by(user: User, text: str) -> bool:
    """Whether the policy could mean this user by a text."""
    wanted = text.lower()
    return bool(wanted) and wanted in {user.name.lower(), user.email.lower()}


def _valid(name: str) -> bool:
    try:
        validate_user_name(name)
    except InvalidError:
        return False
    return True


def _require_identifier(identifier: str) -> None:
    issuer, slash, subject = identifier.rpartition("/")
    whole = identifier.isprintable() and not any(map(str.isspace, identifier)) and len(identifier) <= 1000
    if not whole or not slash or not subject or not issuer.startswith(("https://", "http://")):
        raise InvalidError(
            f"`{identifier}` is no identity: write ISSUER/SUBJECT, such as https://id.example/1234"
        )


def _require_local_name(directory: Directory, user: User) -> None:
    for other in directory.users():
        if other.id != user.id and other.name == user.name and other.provider_identifier is None:
            raise ConflictError(
                f"a local user is called `{user.name}` already (id {other.id}); rename one first"
            )


def _difference(old: User, new: User) -> tuple[dict[str, object], dict[str, object]]:
    names = ("name", "display_name", "email", "profile_pic_url", "groups", "offboarded_at")
    differing = [name for name in names if getattr(old, name) != getattr(new, name)]
    return _facts(old, differing), _facts(new, differing)


def _facts(user: User, names: Sequence[str]) -> dict[str, object]:
    facts: dict[str, object] = {}
    for name in names:
        value = getattr(user, name)
        facts[name] = list(value) if isinstance(value, tuple) else value
        if isinstance(value, datetime):
            facts[name] = value.isoformat()
    return facts
