"""Who makes the API request that is under way: the unix socket, or the holder of an API key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from coordinator.tailnet.actors import Actor
from coordinator.tailnet.rights import Right, may

SOCKET_ACTOR = Actor(kind="socket", name="local")
_ACTING: ContextVar[Actor] = ContextVar("acting", default=SOCKET_ACTOR)
_ROLE: ContextVar[str | None] = ContextVar("acting role", default=None)


def acting() -> Actor:
    """Who is responsible for what the request does."""
    return _ACTING.get()


def acting_may(right: Right) -> bool:
    """Whether they have a right that not every use of the path takes."""
    role = _ROLE.get()
    return role is None or may(role, right)


@contextmanager
def acting_as(actor: Actor, role: str | None = None) -> Iterator[None]:
    """Within the block, somebody else than the socket acts; without a role they may do everything."""
    token, role_token = _ACTING.set(actor), _ROLE.set(role)
    try:
        yield
    finally:
        _ACTING.reset(token)
        _ROLE.reset(role_token)
