"""Approve and reject: what the device itself and the others are told."""

from __future__ import annotations

import pytest

from coordinator.services.device_approval import DeviceApproval
from coordinator.services.map_sessions import MapSessions
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ConflictError, NotFoundError
from coordinator.tailnet.nodes import PENDING, REJECTED
from coordinator.tailnet.state import TailnetState
from tests.support.builders import make_node, make_user
from tests.support.tailnets import ClientModel, FakeStream, make_tailnet

ACTOR = Actor(kind="socket", name="test")


class Client:
    """A model with its stream."""

    def __init__(self, tailnet: Tailnet, sessions: MapSessions, node_id: int) -> None:
        self.stream, self.model = FakeStream(), ClientModel()
        record = tailnet.snapshot.record(node_id)  # type: ignore[arg-type]
        assert record is not None
        sessions.open(record, self.stream, pinning=True, keepalives=False)

    def look(self) -> ClientModel:
        while self.stream.documents:
            self.model.apply(self.stream.documents.pop(0))
        return self.model


async def settle() -> None:
    import asyncio

    await asyncio.sleep(0.06)


async def test_a_waiting_device_and_its_peers_meet_on_approval_and_part_on_rejection() -> None:
    waiting = make_node(2, approval=PENDING)
    nodes = {1: make_node(1), 2: waiting}
    tailnet, _, _ = make_tailnet(TailnetState(users={1: make_user(1)}, nodes=nodes))  # type: ignore[dict-item]
    tailnet.start()
    sessions = MapSessions(tailnet, window=0.001)
    approval = DeviceApproval(tailnet)
    old, new = Client(tailnet, sessions, 1), Client(tailnet, sessions, 2)
    assert new.look().self_node["MachineAuthorized"] is False  # type: ignore[index]
    assert new.look().peers == {} == old.look().peers
    assert new.look().filters == []

    await approval.approve(2, actor=ACTOR)
    await settle()
    assert new.look().self_node["MachineAuthorized"] is True  # type: ignore[index]
    assert (set(new.look().peers), set(old.look().peers)) == ({1}, {2})
    assert new.look().filters

    await approval.reject(2, actor=ACTOR)
    await settle()
    assert new.look().self_node["Expired"] is True  # type: ignore[index]
    assert new.look().peers == {} == old.look().peers
    with pytest.raises(ConflictError, match="final"):
        await approval.approve(2, actor=ACTOR)
    assert tailnet.snapshot.records[1].node.approval == REJECTED
    await sessions.close()
    await tailnet.close()


async def test_deciding_twice_and_on_nobody() -> None:
    nodes = {1: make_node(1, approval=PENDING)}
    tailnet, store, _ = make_tailnet(TailnetState(users={1: make_user(1)}, nodes=nodes))  # type: ignore[dict-item]
    tailnet.start()
    approval = DeviceApproval(tailnet)
    for decide in (approval.approve, approval.approve, approval.reject, approval.reject):
        await decide(1, actor=ACTOR)
    actions = [entry.action for changes in store.commits for entry in changes.audit]
    assert actions == ["node.device_approve", "node.device_reject"]
    for decide in (approval.approve, approval.reject):
        with pytest.raises(NotFoundError):
            await decide(9, actor=ACTOR)
    await tailnet.close()
