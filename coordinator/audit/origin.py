"""From where and why, on its way from the shells to the writer.

A context variable, and not an argument of every verb: most services neither know nor care whether they were
called through a socket or a Noise channel, and what every signature has to carry is forgotten somewhere. It
is set in two places (`web.middleware` and `control.register_handler`) and read in one (`Tailnet.execute`,
which takes it along into the writer's task). *Who* acts stays an explicit argument: a verb must not be
callable without saying it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from coordinator.tailnet.actors import NOWHERE, Origin

_ORIGIN: ContextVar[Origin] = ContextVar("origin", default=NOWHERE)


def current_origin() -> Origin:
    """The origin of what runs now; `NOWHERE` for what the server does by itself."""
    return _ORIGIN.get()


@contextmanager
def acting_from(origin: Origin) -> Iterator[None]:
    """Everything inside comes from there, also in tasks that it starts."""
    token = _ORIGIN.set(origin)
    try:
        yield
    finally:
        _ORIGIN.reset(token)
