"""API keys: create, list, expire, delete, and tell whose a presented one is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.api_keys import ApiKey, api_key_matches, new_api_secret, prefix_of, split_api_key
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import InvalidError, NotFoundError
from coordinator.tailnet.preauth_keys import hash_secret
from coordinator.tailnet.state import ChangeSet
from coordinator.tailnet.users import User, UserID, require_active

SECRET_BYTES = 38
LIFETIME = timedelta(days=90)
SEEN_INTERVAL = timedelta(minutes=10)
"""`last_seen` is written at most this often."""


class ApiKeyService:
    """Verbs on API keys."""

    def __init__(
        self, tailnet: Tailnet, keys: Iterable[ApiKey], random_bytes: Callable[[int], bytes]
    ) -> None:
        self._tailnet = tailnet
        self._keys = {key.prefix: key for key in keys}
        self._random_bytes = random_bytes
        tailnet.on_commit(self._take)

    def list(self) -> list[ApiKey]:
        """All keys, by id."""
        return sorted(self._keys.values(), key=lambda key: key.id)

    async def create(
        self, *, user_id: int | None, expiration: datetime | None, actor: Actor
    ) -> tuple[ApiKey, str]:
        """Create a key; returns it with its text, which is never shown again.

        Args:
            user_id: Whose rights it has; None: all.
            expiration: When it ends; None: after 90 days.
            actor: Who asks.
        """
        now = self._tailnet.clock()
        ends = expiration or now + LIFETIME
        if ends <= now:
            raise InvalidError(f"the expiration {ends.isoformat()} has passed already")
        text, prefix, secret = new_api_secret(self._random_bytes(SECRET_BYTES))

        def command(directory: Directory) -> ApiKey:
            owner = None if user_id is None else UserID(user_id)
            if owner is not None:
                require_active(directory.user(owner))
            key = ApiKey(
                id=directory.next_id("api_keys"),
                prefix=prefix,
                hash=hash_secret(prefix, secret),
                user_id=owner,
                expiration=ends,
                created_at=now,
            )
            self._put(directory, key, actor, "apikey.create")
            return key

        return await self._tailnet.execute(command), text

    async def expire(self, *, prefix: str = "", key_id: int | None = None, actor: Actor) -> None:
        """End a key now."""
        found = self._find(prefix, key_id)

        def command(directory: Directory) -> None:
            ended = replace(directory.api_key(found.id), expiration=self._tailnet.clock())
            self._put(directory, ended, actor, "apikey.expire")

        await self._tailnet.execute(command)

    async def delete(self, *, prefix: str = "", key_id: int | None = None, actor: Actor) -> None:
        """Remove a key."""
        found = self._find(prefix, key_id)

        def command(directory: Directory) -> None:
            directory.delete_api_key(found.id)
            now, target = self._tailnet.clock(), f"apikey:{found.id}"
            directory.audit(now, actor, "apikey.delete", target, name=found.masked)

        await self._tailnet.execute(command)

    def authenticate(self, text: str) -> ApiKey | None:
        """The key a text proves, if it is valid and its user is not shut out."""
        parts = split_api_key(text)
        if parts is None:
            return None
        key = self._keys.get(parts[0])
        if not api_key_matches(key, parts[1]) or key is None or not key.valid(self._tailnet.clock()):
            return None
        if key.user_id is not None:
            user = self._tailnet.snapshot.users.get(key.user_id)
            if user is None or user.suspended:
                return None
        return key

    async def seen(self, key: ApiKey) -> None:
        """Remember that a key is in use."""
        now = self._tailnet.clock()
        if key.last_seen is not None and now - key.last_seen < SEEN_INTERVAL:
            return
        # At once, so that requests that come together store it once.
        self._keys[key.prefix] = replace(key, last_seen=now)
        actor = Actor(kind="api_key", name=key.prefix)

        def command(directory: Directory) -> None:
            current = replace(directory.api_key(key.id), last_seen=now)
            self._put(directory, current, actor, "apikey.use")

        await self._tailnet.execute(command)

    def role(self, key: ApiKey) -> str | None:
        """The role whose rights a key has; None: all rights."""
        if key.user_id is None:
            return None
        return self._tailnet.snapshot.users[key.user_id].role

    def speaks_for_all(self, actor: Actor) -> bool:
        """Whether who acts may name any person: the server's own socket, or a key without a user."""
        if actor.kind == "socket":
            return True
        key = self._keys.get(actor.name) if actor.kind == "api_key" else None
        return key is not None and key.user_id is None

    def user(self, key: ApiKey) -> User | None:
        """Who a key stands for; None: nobody, so its holder names whom they act for."""
        return None if key.user_id is None else self._tailnet.snapshot.users[key.user_id]

    def _take(self, changes: ChangeSet) -> None:
        """Follow every commit, also those of other instances."""
        for key in [each for each in self._keys.values() if each.id in changes.delete_api_keys]:
            del self._keys[key.prefix]
        self._keys |= {key.prefix: key for key in changes.put_api_keys.values()}

    def _find(self, prefix: str, key_id: int | None) -> ApiKey:
        if bool(prefix) == (key_id is not None):
            raise InvalidError("say which API key: its prefix or its id, not both")
        wanted = prefix_of(prefix)
        for key in self._keys.values():
            if key.id == key_id or (prefix and key.prefix == wanted):
                return key
        raise NotFoundError(f"API key `{prefix or key_id}` does not exist; `apikeys list` shows them")

    def _put(self, directory: Directory, key: ApiKey, actor: Actor, verb: str) -> None:
        directory.put_api_key(key)
        ends = key.expiration.isoformat() if key.expiration else None
        after = {"user": key.user_id, "expiration": ends}
        target = f"apikey:{key.id}"
        directory.audit(self._tailnet.clock(), actor, verb, target, after, name=key.masked)
