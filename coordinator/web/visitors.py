"""Which person makes the request that is under way, where that is proven.

An API key of a user, an identity token of a machine, and an address inside the tailnet each prove a person.
The unix socket and a key of nobody prove an administrator instead, who may name the person they act for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from aiohttp import web

from coordinator.tailnet.nodes import Node
from coordinator.tailnet.users import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A person who proved who they are; `node` is the machine they did it from, where that is known."""

    user: User
    node: Node | None = None


_VISITOR: ContextVar[Visitor | None] = ContextVar("visitor", default=None)


def visitor() -> Visitor | None:
    """Who makes the request; None: an administrator, who may act for others."""
    return _VISITOR.get()


@contextmanager
def visited_by(person: Visitor | None) -> Iterator[None]:
    """Within the block, this person makes the request."""
    token = _VISITOR.set(person)
    try:
        yield
    finally:
        _VISITOR.reset(token)


async def proven_visitor(request: web.Request) -> Visitor | None:
    """`visitor` for pages, which ask by the request."""
    return visitor()
