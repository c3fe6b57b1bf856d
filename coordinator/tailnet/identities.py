"""Which identity at a provider is which user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from coordinator.tailnet.users import UserID


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedIdentity:
    """One identity of a user; a user may have several, an identity belongs to one user.

    Attributes:
        id: issuer, `/` and subject.
        provider: name of the provider in the configuration; empty until somebody logs in with it.
        groups: groups of the policy that its claims stand for.
        refresh_token: sealed; empty without offline access.
        refreshed_at: when the provider last answered for it.
    """

    id: str
    user_id: UserID
    provider: str = ""
    groups: tuple[str, ...] = ()
    refresh_token: str = ""
    refreshed_at: datetime | None = None
    linked_at: datetime


def united_groups(identities: Iterable[LinkedIdentity]) -> tuple[str, ...]:
    """The groups of a user: those of all their identities, sorted."""
    return tuple(sorted({group for identity in identities for group in identity.groups}))
