"""Which entries somebody wants to see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which entries are wanted; empty values want all.

    `actor` and `object` are `kind:name` (an id for objects), or a kind or name alone. `action` may end in
    `*`. `since` counts, `until` does not. With `after` the oldest behind that id come first, otherwise the
    newest, below `before` if given.
    """

    since: datetime | None = None
    until: datetime | None = None
    actor: str = ""
    action: str = ""
    object: str = ""
    before: int | None = None
    after: int | None = None
    limit: int = 100
