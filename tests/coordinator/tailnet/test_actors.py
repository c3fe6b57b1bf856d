"""Actors."""

from __future__ import annotations

from coordinator.tailnet.actors import Actor


def test_an_actor_is_written_with_its_kind() -> None:
    assert str(Actor(kind="node", name="7")) == "node:7"
