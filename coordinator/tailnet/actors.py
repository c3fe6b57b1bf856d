"""Who acts: recorded with every change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["socket", "api_key", "user", "node", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The origin of a command. `name` is a user, a key prefix or a part of the server."""

    kind: ActorKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"
