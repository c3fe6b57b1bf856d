"""Servers that share one database, and what they tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from coordinator.tailnet.nodes import NodeID


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One server.

    `id` is made at each start; `noise_key` is the public half of its Noise key; `relay` its embedded
    relay as JSON, empty without one. `beats` counts its signs of life.
    """

    id: str
    server_url: str
    noise_key: str
    relay: str = ""
    started_at: datetime
    beats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Something that waits for a person. `kind` is `login` or `ssh`; `body` JSON that the kind explains."""

    id: str
    kind: str
    body: str
    began: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveNode:
    """What an instance says of a node; `connected`: it holds the node's map stream.

    `facts` are the volatile fields of a `Node`.
    """

    node_id: NodeID
    instance: str
    version: int
    connected: bool
    facts: Mapping[str, Any] = field(hash=False)
