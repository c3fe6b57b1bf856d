"""Who acts."""

from __future__ import annotations

from coordinator.tailnet.actors import Actor
from coordinator.web.api.acting import SOCKET_ACTOR, acting, acting_as


def test_the_socket_unless_somebody_else_does() -> None:
    somebody = Actor(kind="api_key", name="x")
    with acting_as(somebody):
        assert acting() == somebody
    assert acting() == SOCKET_ACTOR
