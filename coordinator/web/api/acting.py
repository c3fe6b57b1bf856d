"""Who makes the API request that is under way: the unix socket, or the holder of an API key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from coordinator.tailnet.actors import Actor

SOCKET_ACTOR = Actor(kind="socket", name="local")
_ACTING: ContextVar[Actor] = ContextVar("acting", default=SOCKET_ACTOR)


def acting() -> Actor:
    """Who is responsible for what the request does."""
    return _ACTING.get()


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Within the block, somebody else than the socket acts."""
    token = _ACTING.set(actor)
    try:
        yield
    finally:
        _ACTING.reset(token)
