"""Logins under way: what was promised to a browser before it went to the provider.

Bounded, and every entry is taken once: beyond the bound the oldest is forgotten, and its browser starts
again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from coordinator.tailnet.clock import Clock

MAX_ENTRIES = 1024
MAX_OF_ONE = 8
"""Entries for one subject: who opens one link again and again must not push out the logins of others."""
LIFETIME = timedelta(minutes=15)
SECRET_BYTES = 32


class _Begun(Protocol):
    @property
    def began(self) -> datetime:
        """When it was made."""


E = TypeVar("E", bound=_Begun)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginState:
    """A browser on its way to a provider and back.

    `purpose` is `register` or `ssh`, `subject` the id of what waits for the person.
    """

    provider: str
    purpose: str
    subject: str
    nonce: str
    verifier: str
    began: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Somebody is known; what remains is their yes. `expiry` is that of their ID token, where it counts."""

    purpose: str
    subject: str
    user_id: int
    expiry: datetime | None
    began: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserSession:
    """What a sign-out at the provider needs."""

    provider: str
    id_token: str
    began: datetime


class SingleUse(Generic[E]):
    """Entries under unguessable keys, each taken once.

    Args:
        clock: Tells when an entry is too old.
        random_hex: Secret hex text of so many bytes.
        lifetime: How long an entry lives.
        subject: What an entry is about, where one subject may have only `MAX_OF_ONE`; empty for none.
    """

    def __init__(
        self,
        clock: Clock,
        random_hex: Callable[[int], str],
        lifetime: timedelta = LIFETIME,
        *,
        subject: Callable[[E], str] | None = None,
    ) -> None:
        self._clock = clock
        self._random_hex = random_hex
        self._lifetime = lifetime
        self._subject = subject
        self._entries: dict[str, E] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: E) -> str:
        """Keep an entry; returns its key, 64 hex digits."""
        if self._subject is not None:
            about = self._subject(entry)
            same = [key for key, other in self._entries.items() if about and self._subject(other) == about]
            for key in same[: max(0, len(same) - MAX_OF_ONE + 1)]:
                del self._entries[key]
        self._drop_old(MAX_ENTRIES - 1)
        key = self._random_hex(SECRET_BYTES)
        self._entries[key] = entry
        return key

    def take(self, key: str) -> E | None:
        """The entry, once; None when there is none (any more)."""
        self._drop_old(MAX_ENTRIES)
        return self._entries.pop(key, None)

    def _drop_old(self, keep: int) -> None:
        oldest = self._clock() - self._lifetime
        while self._entries:
            key = next(iter(self._entries))
            if self._entries[key].began > oldest and len(self._entries) <= keep:
                return
            del self._entries[key]
