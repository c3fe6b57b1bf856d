"""Who acts, from where, and why: recorded with every change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["socket", "api_key", "user", "node", "system", "wireguard_gateway", "wireguard_token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The origin of a command. `name` is a user, a key prefix or a part of the server."""

    kind: ActorKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is known of a command beside its actor; empty texts where nothing is.

    `source` is an address, or the user id behind a unix socket; `request_id` also stands in the log; `reason`
    is what the person said.
    """

    source: str = ""
    request_id: str = ""
    reason: str = ""


NOWHERE = Origin()
"""Of what the server does by itself."""
