"""Open streams: who is told what, when, and who is not disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from coordinator.services.map_sessions import MapSessions
from coordinator.services.nodes import NodeService
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.state import TailnetState
from tests.support.builders import FakeClock, make_node, make_user, node_key
from tests.support.tailnets import ClientModel, FakeStream, make_tailnet

ACTOR = Actor(kind="socket", name="test")


@dataclass
class Bench:
    tailnet: Tailnet
    sessions: MapSessions
    nodes: NodeService
    clock: FakeClock

    def open(self, node_id: int) -> FakeStream:
        stream = FakeStream()
        record = self.tailnet.snapshot.record(node_id)  # type: ignore[arg-type]
        assert record is not None
        self.sessions.open(record, stream, pinning=True, keepalives=True)
        return stream


async def settle() -> None:
    """Longer than the coalescing window."""
    await asyncio.sleep(0.05)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    users = {user.id: user for user in (make_user(1),)}
    nodes = {node.id: node for node in (make_node(number) for number in (1, 2, 3))}
    tailnet, _, clock = make_tailnet(TailnetState(users=users, nodes=nodes, counters={"nodes": 3}))
    sessions = MapSessions(tailnet, window=0.01, offline_grace=0.05)
    tailnet.start()
    sessions.start()
    yield Bench(tailnet, sessions, NodeService(tailnet), clock)
    await sessions.close()
    await tailnet.close()


async def test_the_first_message_is_full_and_comes_at_once(bench: Bench) -> None:
    """Pitfalls: a first message without Node, or without DERP regions."""
    stream = bench.open(1)
    (first,) = stream.documents
    assert first["Node"]["Online"]
    assert first["DERPMap"]["Regions"]
    assert {peer["ID"] for peer in first["Peers"]} == {2, 3}
    assert first["PacketFilters"]["base"]
    assert first["UserProfiles"]
    assert first["ControlTime"]


async def test_coming_online_is_a_patch_for_the_others(bench: Bench) -> None:
    stream = bench.open(1)
    bench.open(2)
    await settle()
    assert stream.documents[1] == {"PeersChangedPatch": [{"NodeID": 2, "Online": True}]}


async def test_endpoints_are_a_patch_to_those_who_see_the_node(bench: Bench) -> None:
    one, two = bench.open(1), bench.open(2)
    await settle()
    count = len(two.documents)
    bench.tailnet.update_volatile(2, endpoints=("192.0.2.2:41641",))  # type: ignore[arg-type]
    await settle()
    assert one.documents[-1] == {"PeersChangedPatch": [{"NodeID": 2, "Endpoints": ["192.0.2.2:41641"]}]}
    assert len(two.documents) == count, "a node is not told its own endpoints"


async def test_many_changes_in_a_moment_are_one_message(bench: Bench) -> None:
    stream = bench.open(1)
    await settle()
    count = len(stream.documents)
    for number in range(20):
        bench.tailnet.update_volatile(2, endpoints=(f"192.0.2.2:{number + 1}",))  # type: ignore[arg-type]
        await asyncio.sleep(0)
    await settle()
    assert len(stream.documents) - count <= 3
    assert stream.documents[-1]["PeersChangedPatch"][0]["Endpoints"] == ["192.0.2.2:20"]


async def test_a_slow_reader_skips_states_and_disturbs_nobody(bench: Bench) -> None:
    slow, quick = bench.open(1), bench.open(3)
    await settle()
    slow.refusing = True
    for number in range(5):
        bench.tailnet.update_volatile(2, endpoints=(f"192.0.2.2:{number + 1}",))  # type: ignore[arg-type]
        await settle()
    count = len(slow.documents)
    assert quick.documents[-1]["PeersChangedPatch"][0]["Endpoints"] == ["192.0.2.2:5"]
    slow.refusing = False
    assert slow.on_writable is not None
    slow.on_writable()
    await settle()
    assert len(slow.documents) == count + 1
    assert slow.documents[-1]["PeersChangedPatch"] == [{"NodeID": 2, "Endpoints": ["192.0.2.2:5"]}]


async def test_a_new_poll_replaces_the_former_stream_without_going_offline(bench: Bench) -> None:
    """Pitfall: the old stream ends after the new one began, and marks the node offline."""
    watcher, old = bench.open(2), bench.open(1)
    new = bench.open(1)
    assert old.was_reset
    old.hang_up()
    await asyncio.sleep(0.12)
    assert not new.closed
    assert bench.tailnet.snapshot.record(1).node.online  # type: ignore[arg-type, union-attr]
    patches = [patch for each in watcher.documents for patch in each.get("PeersChangedPatch", ())]
    assert not any(patch.get("Online") is False for patch in patches)


async def test_offline_comes_after_a_grace(bench: Bench) -> None:
    watcher, stream = bench.open(2), bench.open(1)
    await settle()
    stream.hang_up()
    assert bench.tailnet.snapshot.record(1).node.online  # type: ignore[arg-type, union-attr]
    await asyncio.sleep(0.12)
    (patch,) = watcher.documents[-1]["PeersChangedPatch"]
    assert patch["Online"] is False
    assert patch["LastSeen"]


async def test_coming_back_within_the_grace_is_told_to_nobody(bench: Bench) -> None:
    watcher, stream = bench.open(2), bench.open(1)
    await settle()
    count = len(watcher.documents)
    stream.hang_up()
    bench.open(1)
    await asyncio.sleep(0.12)
    assert len(watcher.documents) == count


async def test_a_deleted_node_loses_its_stream_and_its_place(bench: Bench) -> None:
    watcher, stream = bench.open(2), bench.open(1)
    await settle()
    await bench.nodes.delete(1, actor=ACTOR)
    await settle()
    assert stream.was_reset
    assert watcher.documents[-1]["PeersRemoved"] == [1]


async def test_a_rotated_key_ends_the_old_stream(bench: Bench) -> None:
    stream = bench.open(1)
    record = bench.tailnet.snapshot.record(1)  # type: ignore[arg-type]
    assert record is not None
    await bench.tailnet.execute(
        lambda directory: directory.put_node(replace(record.node, node_key=node_key(99)))
    )
    await settle()
    assert stream.was_reset


async def test_an_expired_node_sees_nobody_and_knows_why(bench: Bench) -> None:
    watcher, stream = bench.open(2), bench.open(1)
    await settle()
    await bench.nodes.expire(1, actor=ACTOR)
    await settle()
    model = ClientModel()
    for document in stream.documents:
        model.apply(document)
    assert model.peers == {}
    assert model.self_node is not None
    assert model.self_node["Expired"]
    assert model.filters == []
    assert not stream.closed, "the stream stays: a later expiry brings the node back on it"
    (peer,) = watcher.documents[-1]["PeersChanged"]
    assert (peer["Expired"], peer["Online"]) == (True, False)
    await bench.nodes.expire(1, disable=True, actor=ACTOR)
    await settle()
    model.apply(stream.documents[-1])
    assert set(model.peers) == {2, 3}
    assert "KeyExpiry" not in model.self_node


async def test_a_policy_change_reaches_open_streams(bench: Bench) -> None:
    from acl import parse_policy

    stream = bench.open(1)
    await settle()
    bench.tailnet.replace_policy(parse_policy('{"acls": []}'))
    await settle()
    assert stream.documents[-1]["PeersRemoved"] == [2, 3]
    assert stream.documents[-1]["PacketFilters"] == {"base": []}


async def test_a_node_that_never_polled_is_not_shown(bench: Bench) -> None:
    """Pitfall: a peer without DiscoKey is a dead peer."""
    stream = bench.open(1)
    silent = make_node(4, disco_key=None)
    await bench.tailnet.execute(lambda directory: directory.put_node(silent))
    await settle()
    assert all("4" not in str(each.get("PeersChanged", "")) for each in stream.documents)
    bench.tailnet.update_volatile(4, disco_key="discokey:" + "1" * 64)  # type: ignore[arg-type]
    await settle()
    assert [peer["ID"] for peer in stream.documents[-1]["PeersChanged"]] == [4]


async def test_keepalives_end_in_a_new_line_and_tell_the_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pitfall: clients from 1.90 on swallow messages that are as long as a remembered bare keepalive."""
    from coordinator.services import map_sessions

    monkeypatch.setattr(map_sessions, "KEEPALIVE_SECONDS", 1)
    monkeypatch.setattr(map_sessions, "KEEPALIVE_JITTER", 0)
    stream = bench.open(1)
    for number in range(1, 5):
        # Other traffic puts a keepalive off; it must not make the wheel forget the session.
        await asyncio.sleep(0.4)
        bench.tailnet.update_volatile(2, endpoints=(f"192.0.2.2:{number}",))  # type: ignore[arg-type]

    def beats() -> list[dict[str, object]]:
        return [each for each in stream.documents if each.get("KeepAlive")]

    async with asyncio.timeout(10):
        while len(beats()) < 2:
            await asyncio.sleep(0.05)
    assert all(set(beat) == {"KeepAlive", "ControlTime"} for beat in beats())


async def test_a_restart_tells_nobody_that_everybody_left() -> None:
    users = {user.id: user for user in (make_user(1),)}
    nodes = {node.id: node for node in (make_node(number, online=number < 3) for number in (1, 2, 3))}
    tailnet, _, clock = make_tailnet(TailnetState(users=users, nodes=nodes, counters={"nodes": 3}))
    sessions = MapSessions(tailnet, window=0.01, restart_grace=0.2)
    tailnet.start()
    sessions.start()
    bench = Bench(tailnet, sessions, NodeService(tailnet), clock)
    stream = bench.open(1)
    shown = {peer["ID"]: peer["Online"] for peer in stream.documents[0]["Peers"]}
    assert shown == {2: True, 3: False}, "as before the restart"
    bench.open(3)
    await asyncio.sleep(0.3)
    told = [patch for each in stream.documents[1:] for patch in each["PeersChangedPatch"]]
    assert [(patch["NodeID"], patch["Online"]) for patch in told] == [(3, True), (2, False)]
    await sessions.close()
    await tailnet.close()


async def test_who_is_connected_when_the_server_ends_is_stored_as_online() -> None:
    state = TailnetState(users={make_user(1).id: make_user(1)}, nodes={make_node(1).id: make_node(1)})
    tailnet, store, clock = make_tailnet(state)
    sessions = MapSessions(tailnet)
    tailnet.start()
    sessions.start()
    Bench(tailnet, sessions, NodeService(tailnet), clock).open(1)
    await sessions.close()
    await tailnet.close()
    assert [node.online for node in store.saved] == [True]
