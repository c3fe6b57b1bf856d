"""What the server is told."""

from coordinator.gateway import seen
from coordinator.gateway.clock import Time, utc
from coordinator.gateway.plan import Key
from coordinator.gateway.report import report
from coordinator.gateway.seen import Seen, Wireguard
from coordinator.gateway.target import target
from coordinator.wireguard.wire import Knocked, Noticed, SeenPeer
from tests.coordinator.gateway.builders import NOW, key, peer, wish


def test_a_report() -> None:
    given = wish(peer(2), peer(3), peer(4))
    there = Seen(
        wireguard={
            "wg0": Wireguard(
                peers={
                    key(2): seen.Peer(endpoint="192.0.2.1:5", latest_handshake=7, received=1, sent=2),
                    key(3): seen.Peer(),
                    key(66): seen.Peer(latest_handshake=9),
                }
            )
        }
    )
    aim = target(given, Time.exactly(NOW), there.wireguard)
    ident = next(ident for ident, device in aim.devices.items() if device.name == "laptop 2")
    event = Noticed(kind="clock", at=NOW, detail="late")
    made = report(
        version="7",
        now=NOW,
        keys={"k0": Key(public=key(900), path="/keys/k0")},
        target=aim,
        seen=there,
        counters={f"refused_{ident}": (8, 800)},
        events=(event,),
        agent="coordinator 1",
        knocks=(Knocked(public_key=key(5), endpoint="192.0.2.1:5", at=NOW),),
    )
    assert [each.public_key for each in made.knocks] == [key(5)]
    assert made.public_keys == {"k0": key(900)}
    assert (made.version, made.now, made.events, made.agent) == ("7", NOW, (event,), "coordinator 1")
    assert made.peers == (
        SeenPeer(
            public_key=key(2),
            interface="wg0",
            endpoint="192.0.2.1:5",
            latest_handshake=utc(7),
            received_bytes=1,
            sent_bytes=2,
            refused_packets=8,
        ),
        SeenPeer(public_key=key(3), interface="wg0"),
    )


def test_what_was_refused_is_told_once() -> None:
    given = wish(peer(2), peer(3, device="d2", allowed_ips=("10.99.0.2/32",)), interfaces=2)
    both = {key(2): seen.Peer(latest_handshake=5), key(3): seen.Peer(latest_handshake=6)}
    there = Seen(wireguard={"wg0": Wireguard(peers=both), "wg1": Wireguard(peers={key(2): seen.Peer()})})
    aim = target(given, Time.exactly(NOW), there.wireguard)
    (ident,) = aim.devices
    counters = {f"refused_{ident}": (8, 800)}
    made = report(version="", now=NOW, keys={}, target=aim, seen=there, counters=counters, events=())
    told = {(found.interface, found.public_key): found.refused_packets for found in made.peers}
    assert told == {("wg0", key(2)): 0, ("wg0", key(3)): 8, ("wg1", key(2)): 0}
