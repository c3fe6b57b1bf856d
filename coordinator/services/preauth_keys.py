"""Pre-auth keys: create, list, expire, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from coordinator.services.tags import validated_tags
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import InvalidError
from coordinator.tailnet.preauth_keys import PreAuthKey, hash_secret, new_secret, split_key
from coordinator.tailnet.users import UserID, require_active

SECRET_BYTES = 38
LONGEST_DESCRIPTION = 200
MOST_USES = 1_000_000_000


class PreAuthKeyService:
    """Verbs on pre-auth keys."""

    def __init__(self, tailnet: Tailnet, random_bytes: Callable[[int], bytes]) -> None:
        self._tailnet = tailnet
        self._random_bytes = random_bytes

    def list(self, user: int | None = None) -> list[PreAuthKey]:
        """All keys, or those of one user, by id."""
        keys = self._tailnet.snapshot.preauth_keys.values()
        return sorted((key for key in keys if user is None or key.user_id == user), key=lambda key: key.id)

    async def create(
        self,
        *,
        user_id: int | None,
        tags: Sequence[str] = (),
        reusable: bool = False,
        ephemeral: bool = False,
        preapproved: bool = False,
        max_uses: int | None = None,
        description: str = "",
        expiration: datetime | None,
        actor: Actor,
    ) -> tuple[PreAuthKey, str]:
        """Create a key.

        Args:
            user_id: Whose nodes it makes; may be None when there are tags.
            tags: Tags of the nodes it makes; each has to be in the policy.
            reusable: Whether more than one machine may use it.
            ephemeral: Whether its nodes vanish when they leave.
            preapproved: Whether its nodes need no device approval.
            max_uses: How many joins it grants, at least 1; more than one makes it reusable.
            description: What it is for, at most 200 characters.
            expiration: When it stops admitting machines; None for never.
            actor: Who asks.

        Returns:
            (key, its text, which is never shown again).
        """
        now = self._tailnet.clock()
        _check(user_id, tags, expiration, now)
        _check_details(max_uses, reusable, description)
        wanted = validated_tags(self._tailnet.world.policy, tags)
        text, prefix = new_secret(self._random_bytes(SECRET_BYTES))
        secret = split_key(text)[1]

        def command(directory: Directory) -> PreAuthKey:
            if user_id is not None:
                require_active(directory.user(UserID(user_id)))
            key = PreAuthKey(
                id=directory.next_id("preauth_keys"),
                prefix=prefix,
                hash=hash_secret(prefix, secret),
                user_id=None if user_id is None else UserID(user_id),
                tags=wanted,
                reusable=reusable or (max_uses or 0) > 1,
                ephemeral=ephemeral,
                preapproved=preapproved,
                description=description,
                max_uses=max_uses,
                expiration=expiration,
                created_at=now,
            )
            directory.put_preauth_key(key)
            target = f"preauthkey:{key.id}"
            directory.audit(now, actor, "preauthkey.create", target, _summary(key), name=key.masked)
            return key

        return await self._tailnet.execute(command), text

    async def expire(self, key_id: int, *, actor: Actor) -> None:
        """Stop a key from admitting machines; nodes that joined with it stay."""

        def command(directory: Directory) -> None:
            key = directory.preauth_key(key_id)
            now = self._tailnet.clock()
            if key.expiration is not None and key.expiration <= now:
                return
            expired = replace(key, expiration=now, revoked=True)
            directory.put_preauth_key(expired)
            before, after = _validity(key), _validity(expired)
            target, name = f"preauthkey:{key_id}", key.masked
            directory.audit(now, actor, "preauthkey.expire", target, after, before=before, name=name)

        await self._tailnet.execute(command)

    async def delete(self, key_id: int, *, actor: Actor) -> None:
        """Remove a key; nodes that joined with it stay."""

        def command(directory: Directory) -> None:
            key = directory.delete_preauth_key(key_id)
            now, target = self._tailnet.clock(), f"preauthkey:{key_id}"
            directory.audit(now, actor, "preauthkey.delete", target, before=_summary(key), name=key.masked)

        await self._tailnet.execute(command)


def _check(user_id: int | None, tags: Sequence[str], expiration: datetime | None, now: datetime) -> None:
    if user_id is None and not tags:
        raise InvalidError("a pre-auth key needs a user or tags: give --user or --tags")
    if expiration is not None and expiration <= now:
        raise InvalidError(f"the expiration {expiration.isoformat()} has passed already")


def _check_details(max_uses: int | None, reusable: bool, description: str) -> None:
    if max_uses is not None and not 1 <= max_uses <= MOST_USES:
        raise InvalidError(f"max uses must be between 1 and {MOST_USES}, not {max_uses}")
    if max_uses == 1 and reusable:
        raise InvalidError("a key for one use is not reusable: leave one of the two out")
    if len(description) > LONGEST_DESCRIPTION or not description.isprintable():
        raise InvalidError(f"the description may have {LONGEST_DESCRIPTION} printable characters")


def _summary(key: PreAuthKey) -> dict[str, Any]:
    return {
        "user": key.user_id,
        "tags": list(key.tags),
        "reusable": key.reusable,
        "ephemeral": key.ephemeral,
        "preapproved": key.preapproved,
        "max_uses": key.max_uses,
        "description": key.description,
        **_validity(key),
    }


def _validity(key: PreAuthKey) -> dict[str, Any]:
    expiration = key.expiration.isoformat() if key.expiration else None
    return {"expiration": expiration, "revoked": key.revoked}
