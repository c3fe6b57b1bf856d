"""Posture attributes that are set, and the rules that follow them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from coordinator.services.attributes import MAX_ATTRIBUTES, AttributeService
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import CoordinatorError, ForbiddenError, InvalidError, NotFoundError
from coordinator.tailnet.nodes import AttributeValue, NodeID
from coordinator.tailnet.state import TailnetState
from tests.support.builders import make_node, make_user
from tests.support.tailnets import make_tailnet

ACTOR = Actor(kind="socket", name="test")
POLICY = """{
  "attrConfig": {
    "custom:tier": {"type": "string", "allowSetByNode": true},
    "custom:level": {"type": "number"},
    "custom:managed": {"type": "bool"},
  },
  "postures": {"posture:prod": ["custom:tier == 'prod'"]},
  "acls": [{"action": "accept", "src": ["user1@"], "dst": ["*:*"], "srcPosture": ["posture:prod"]}],
}"""
NODE = NodeID(1)


@pytest.fixture
async def tailnet() -> AsyncIterator[Tailnet]:
    nodes = [make_node(1), make_node(2, user_id=2)]
    users = [make_user(1), make_user(2)]
    state = TailnetState(users={user.id: user for user in users}, nodes={node.id: node for node in nodes})
    made, _, _ = make_tailnet(state, policy=POLICY)
    made.start()
    yield made
    await made.close()


async def test_a_rule_follows_an_attribute(tailnet: Tailnet) -> None:
    service = AttributeService(tailnet)
    assert tailnet.world.policy.peers(NODE) == 0
    assert await service.set(NODE, {"custom:tier": "prod"}, actor=ACTOR) == {"custom:tier": "prod"}
    assert tailnet.world.policy.peers(NODE) == 0b10
    assert await service.set(NODE, {"custom:tier": None}, actor=ACTOR) == {}
    assert tailnet.world.policy.peers(NODE) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tier", "prod"),
        ("node:os", "linux"),
        ("custom:", "x"),
        ("custom:a b", "x"),
        ("custom:tier", 3),
        ("custom:level", "three"),
        ("custom:level", True),
        ("custom:managed", 1),
        ("custom:free", "x" * 257),
    ],
)
async def test_what_does_not_fit_changes_nothing(tailnet: Tailnet, name: str, value: AttributeValue) -> None:
    changes: dict[str, AttributeValue | None] = {"custom:good": True, name: value}
    with pytest.raises(InvalidError, match="attribute `"):
        await AttributeService(tailnet).set(NODE, changes, actor=ACTOR)
    record = tailnet.snapshot.record(NODE)
    assert record is not None
    assert record.node.attributes == {}


async def test_a_node_sets_what_the_policy_lets_it_set(tailnet: Tailnet) -> None:
    service = AttributeService(tailnet)
    await service.set_by_node(NODE, {"custom:tier": "prod"})
    with pytest.raises(ForbiddenError, match="allowSetByNode"):
        await service.set_by_node(NODE, {"custom:tier": "dev", "custom:level": 1})
    record = tailnet.snapshot.record(NODE)
    assert record is not None
    assert record.node.attributes == {"custom:tier": "prod"}


async def test_bounds(tailnet: Tailnet) -> None:
    service = AttributeService(tailnet)
    await service.set(NODE, {f"custom:{number}": 1 for number in range(MAX_ATTRIBUTES)}, actor=ACTOR)
    with pytest.raises(InvalidError, match="remove some"):
        await service.set(NODE, {"custom:more": 1}, actor=ACTOR)
    with pytest.raises(NotFoundError):
        await service.set(NodeID(9), {"custom:tier": "x"}, actor=ACTOR)
    assert issubclass(NotFoundError, CoordinatorError)
