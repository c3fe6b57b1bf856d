"""Keys of plain WireGuard beside those of the tailnet."""

from __future__ import annotations

from datetime import timedelta

from coordinator.services.wireguard_inventory import WireGuardInventory
from coordinator.services.wireguard_peer_records import PeerWanted
from coordinator.tailnet.inventory import InventoryRow, in_order
from coordinator.wireguard.wire import Report, SeenPeer
from tests.support.wireguard_bench import ACTOR, ADMIN, Bench, wireguard_bench
from tests.support.wireguard_records import public_key


def rows(bench: Bench) -> dict[str, InventoryRow]:
    made = bench.wireguard
    source = WireGuardInventory(bench.tailnet, made.book, made.openings, made.observation)
    return {row.id: row for row in in_order(source.inventory(bench.clock()))}


async def test_every_key_has_a_row_and_a_reason() -> None:
    async with wireguard_bench() as bench:
        gateway = await bench.gateway()
        await bench.peer(1, name="printer")
        wanted = PeerWanted(public_key=public_key(2), user_id=1, profile="db", name="phone", reason="on call")
        phone, _ = await bench.wireguard.peers.provision(wanted, ADMIN)
        found = rows(bench)
        assert set(found) == {"printer", "phone", "gateway gw, key-1"}
        printer = found["printer"]
        assert (printer.owner_kind, printer.owner, printer.until) == ("service", "lab", None)
        assert printer.reason == "by socket:test: test"
        assert found["phone"].owner == "user1"
        assert found["phone"].reason == "windows of db: on call"
        assert found["phone"].access == ("db",)
        assert found["phone"].until == bench.clock() + timedelta(hours=1)
        own = found["gateway gw, key-1"]
        assert (own.owner_kind, own.key, own.online) == ("device", public_key("gw key-1"), False)
        bench.turn(hours=2)
        closed = rows(bench)["phone"]
        assert (closed.state, closed.access, closed.until) == ("valid", (), bench.clock())
        await bench.wireguard.peers.rotate(phone.id, public_key(3), timedelta(hours=1), ADMIN)
        seen = SeenPeer(public_key=public_key(1), interface="wgcoord0", latest_handshake=bench.clock())
        report = Report(version="", now=bench.clock(), public_keys={}, peers=(seen,))
        await bench.wireguard.observation.take(gateway, report, actor=ACTOR)
        found = rows(bench)
        assert found["phone"].key == public_key(3)
        assert found["phone, former key 1"].key == public_key(2)
        assert (found["printer"].online, found["printer"].last_seen) == (True, bench.clock())
        assert found["gateway gw, key-1"].last_seen == bench.clock()
        await bench.wireguard.peers.revoke(phone.id, ADMIN)
        assert set(rows(bench)) == {"printer", "gateway gw, key-1"}
