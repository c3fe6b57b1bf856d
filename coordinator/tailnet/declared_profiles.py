"""Access profiles that were declared beside the policy, as they are stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredProfile:
    """One profile.

    Attributes:
        body: its value as JSON text, in the shape of a member of the policy's `access.profiles`; the same
            profile is always the same text.
        declared_by, since: who declared it as it is now, and when.
    """

    name: str
    body: str
    declared_by: str
    since: datetime

    def value(self) -> dict[str, Any]:
        """The body, read."""
        found: dict[str, Any] = json.loads(self.body)
        return found


def body_text(value: Mapping[str, Any]) -> str:
    """The text of a body: the order of keys makes no difference."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def differing_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The keys in which two bodies differ, sorted."""
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
