"""Every key that opens a way in, one row each: whose it is, why it is there, since when and until when.

Keys of tailnet nodes and of plain WireGuard peers have the same shape here, so that one list answers for
both. Where rows come from is the matter of an `InventorySource`; what is wrong with them is said here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

KeyKind = Literal["tailnet", "wireguard"]
OwnerKind = Literal["person", "service", "device", "nobody"]
"""A user's own machine; something that belongs to tags; a thing nobody logs in on; and what is left over."""
KeyState = Literal["valid", "ended", "waiting", "rejected"]
"""`ended`: past its end, or withdrawn. `waiting`: for an approval. `rejected`: by an administrator."""
Finding = Literal["stale", "rotate", "unseen", "no-expiry"]

FINDINGS: Mapping[Finding, str] = {
    "stale": "the key has ended or was rejected, and is still kept",
    "rotate": "the key is valid and older than the rotation age",
    "unseen": "its machine has not been seen for long",
    "no-expiry": "the key is valid and never ends by itself",
}
"""What a report tells of a key, the most urgent first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryRow:
    """One key.

    `id` tells keys of one kind apart (a node's id, a peer's name); `name` is what people call the machine.
    `owner` is a login, or tags. `reason` says why it was let in, `access` which just-in-time access is open
    for it now. `since` is when the machine came, `key_since` when it got this key; `key_since_exact` False:
    at that time or later; `rotation_asked` since when a new one is awaited. `until` None: without end. All
    times are aware, in UTC.
    """

    kind: KeyKind
    id: str
    name: str
    key: str
    owner_kind: OwnerKind
    owner: str
    reason: str
    access: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    state: KeyState
    online: bool
    since: datetime
    key_since: datetime
    key_since_exact: bool = True
    rotation_asked: datetime | None = None
    until: datetime | None
    last_seen: datetime | None

    def age(self, now: datetime) -> timedelta:
        """How old the key is; never negative, also when a clock was put back."""
        return max(timedelta(), now - self.key_since)


class InventorySource(Protocol):
    """Knows the keys of one kind."""

    def inventory(self, now: datetime) -> Iterable[InventoryRow]:
        """One row a key, as of now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRules:
    """From which age on a key has to be replaced (None: from none), and how long is too long unseen."""

    rotation_age: timedelta | None
    unseen: timedelta


def findings(row: InventoryRow, now: datetime, rules: ReportRules) -> tuple[Finding, ...]:
    """What there is to say of a key, in the order of `FINDINGS`; nothing for a key in good order."""
    stale = row.state in ("ended", "rejected")
    found: list[Finding] = ["stale"] if stale else []
    if not stale and rules.rotation_age is not None and row.age(now) >= rules.rotation_age:
        found.append("rotate")
    if not row.online and (row.last_seen or row.since) <= now - rules.unseen:
        found.append("unseen")
    if not stale and row.until is None:
        found.append("no-expiry")
    return tuple(found)


def in_order(rows: Iterable[InventoryRow]) -> list[InventoryRow]:
    """By kind, then by id: numbers by their value, names by their letters."""
    return sorted(rows, key=lambda row: (row.kind, not row.id.isdecimal(), row.id.rjust(20, "0"), row.id))
