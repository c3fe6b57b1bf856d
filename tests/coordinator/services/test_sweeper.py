"""What happens by itself."""

from __future__ import annotations

from datetime import timedelta

from coordinator.services.sweeper import Sweeper
from coordinator.tailnet.state import TailnetState
from tests.support.builders import NOW, make_node, make_user
from tests.support.tailnets import make_tailnet


async def test_ephemeral_nodes_go_after_their_time_and_only_they() -> None:
    user = make_user(1)
    nodes = [
        make_node(1, ephemeral=True, last_seen=NOW),
        make_node(2, last_seen=NOW - timedelta(days=9)),
        make_node(3, ephemeral=True, last_seen=NOW - timedelta(days=9)),
    ]
    tailnet, _, clock = make_tailnet(TailnetState(users={1: user}, nodes={node.id: node for node in nodes}))  # type: ignore[dict-item]
    sweeper = Sweeper(tailnet, inactivity=timedelta(minutes=30))
    tailnet.start()
    tailnet.update_volatile(nodes[0].id, online=True)
    await sweeper.sweep()
    assert len(tailnet.snapshot.records) == 3, "a restart of the server costs nobody its node"
    clock.forward(minutes=31)
    await sweeper.sweep()
    assert [node.id for node in tailnet.snapshot.nodes()] == [1, 2]
    tailnet.update_volatile(nodes[0].id, online=False, last_seen=clock.now)
    clock.forward(minutes=29)
    await sweeper.sweep()
    assert len(tailnet.snapshot.records) == 2
    clock.forward(minutes=2)
    await sweeper.sweep()
    assert [node.id for node in tailnet.snapshot.nodes()] == [2]
    await tailnet.close()


async def test_a_node_that_registered_and_did_not_poll_yet_survives() -> None:
    """Pitfall: an ephemeral node deleted seconds after registering, before its first map."""
    node = make_node(1, ephemeral=True, disco_key=None, last_seen=None, created_at=NOW)
    tailnet, _, clock = make_tailnet(TailnetState(users={1: make_user(1)}, nodes={node.id: node}))  # type: ignore[dict-item]
    sweeper = Sweeper(tailnet, inactivity=timedelta(minutes=30))
    tailnet.start()
    clock.forward(minutes=29)
    await sweeper.sweep()
    assert len(tailnet.snapshot.records) == 1
    await tailnet.close()


async def test_keys_expire_by_themselves() -> None:
    node = make_node(1, expiry=NOW + timedelta(minutes=1))
    tailnet, _, clock = make_tailnet(TailnetState(users={1: make_user(1)}, nodes={node.id: node}))  # type: ignore[dict-item]
    sweeper = Sweeper(tailnet, inactivity=timedelta(minutes=30))
    await sweeper.sweep()
    assert not tailnet.snapshot.records[0].expired
    clock.forward(minutes=1)
    await sweeper.sweep()
    assert tailnet.snapshot.records[0].expired


async def test_a_key_that_expires_soon_is_warned_of_once() -> None:
    node = make_node(1, expiry=NOW + timedelta(hours=10))
    tailnet, _, clock = make_tailnet(
        TailnetState(users={make_user(1).id: make_user(1)}, nodes={node.id: node, 2: make_node(2)})  # type: ignore[dict-item]
    )
    ahead = timedelta(hours=9)
    assert tailnet.warn_due(ahead) == []
    clock.forward(hours=1)
    assert [warned.id for warned in tailnet.warn_due(ahead)] == [1]
    assert tailnet.warn_due(ahead) == []
    sweeper = Sweeper(tailnet, inactivity=timedelta(minutes=30), notice=ahead)
    await sweeper.sweep()
    clock.forward(hours=10)
    await sweeper.sweep()
    record = tailnet.snapshot.record(node.id)
    assert record is not None
    assert (record.expired, record.expires_soon) == (True, True)
