"""Who acts."""

from __future__ import annotations

from coordinator.tailnet.actors import Actor
from coordinator.web.api.acting import SOCKET_ACTOR, acting, acting_as, acting_may


def test_the_socket_unless_somebody_else_does() -> None:
    somebody = Actor(kind="api_key", name="x")
    with acting_as(somebody):
        assert acting() == somebody
    assert acting() == SOCKET_ACTOR


def test_a_role_may_what_it_may() -> None:
    assert acting_may("policy:write")
    with acting_as(Actor(kind="api_key", name="x"), "auditor"):
        assert acting_may("policy:read")
        assert not acting_may("policy:write")
    with acting_as(Actor(kind="api_key", name="x")):
        assert acting_may("policy:write")
