"""Commands from differences."""

from collections.abc import Collection

from coordinator.gateway import seen
from coordinator.gateway.clock import Time
from coordinator.gateway.plan import (
    Applied,
    Endpoints,
    Key,
    Make,
    Plan,
    Remark,
    Run,
    alias,
    plan,
    without_peers,
)
from coordinator.gateway.seen import Link, Seen, Wireguard
from coordinator.gateway.target import Target, target
from coordinator.wireguard.wire import Wish
from tests.coordinator.gateway.builders import NOW, key, peer, wish

KEYS = {"k0": Key(public=key(900), path="/keys/k0"), "k1": Key(public=key(901), path="/keys/k1")}


def wanted(given: Wish, there: Seen | None = None) -> Target:
    """Now."""
    return target(given, Time.exactly(NOW), (there or Seen()).wireguard)


def reality(given: Wish, **peers: seen.Peer) -> Seen:
    """Everything as a wish says; peers by name replace those of it."""
    aim = wanted(given)
    return Seen(
        links={
            each.name: Link(ours=True, up=True, mtu=1420, addresses=frozenset(each.addresses))
            for each in given.interfaces
        },
        wireguard={
            each.name: Wireguard(
                public_key=KEYS[each.key_id].public,
                listen_port=each.listen_port,
                peers={
                    public: seen.Peer(
                        preshared_key=found.preshared_key,
                        allowed_ips=found.allowed_ips,
                        keepalive=found.keepalive,
                        latest_handshake=5 if each is given.interfaces[0] else 0,
                        endpoint="192.0.2.1:1",
                    )
                    for public, found in aim.peers[each.name].items()
                },
            )
            for each in given.interfaces
        },
        routes=aim.routes,
    )


def planned(
    given: Wish,
    there: Seen,
    applied: Applied | None = None,
    known: Collection[str] = (),
    endpoints: Endpoints | None = None,
) -> Plan:
    """With the keys above."""
    aim = wanted(given, there)
    return plan(aim, there, keys=KEYS, applied=applied or {}, known=known, endpoints=endpoints or {})


def applied_to(given: Wish) -> Applied:
    """As if a wish had been applied."""
    return {(name, public): p for name, peers in wanted(given).peers.items() for public, p in peers.items()}


def test_equal_means_nothing_to_run() -> None:
    given = wish(peer(2, preshared_key=key(77), keepalive_seconds=25), peer(3), interfaces=2)
    result = planned(given, reality(given), applied_to(given))
    assert not result
    assert result == Plan()


def test_from_nothing() -> None:
    given = wish(peer(2, preshared_key=key(77), keepalive_seconds=25), peer(3))
    result = planned(given, Seen())
    assert result.closing == ()
    assert result.opening == (
        Make(name="wg0"),
        Run(argv=("wg", "set", "wg0", "listen-port", "51820", "private-key", "/keys/k0")),
        Run(
            argv=("wg", "addconf", "wg0", "/dev/stdin"),
            stdin=f"[Peer]\nPublicKey = {key(2)}\nPresharedKey = {key(77)}\nAllowedIPs = 10.99.0.2/32\n"
            f"PersistentKeepalive = 25\n[Peer]\nPublicKey = {key(3)}\nPresharedKey = {key(0)}\n"
            "AllowedIPs = 10.99.0.3/32\nPersistentKeepalive = off\n",
        ),
        Run(
            argv=("ip", "-force", "-batch", "-"),
            stdin="link set dev wg0 mtu 1420\nlink set dev wg0 up\n"
            "address replace 10.99.0.1/24 dev wg0 noprefixroute\n"
            "route replace 10.99.0.0/24 dev wg0 proto 179\n",
        ),
    )
    assert result.remarks == ()
    assert key(77) not in repr(result)


def test_without_its_private_key() -> None:
    given = wish(peer(2))
    aim = wanted(given)
    result = plan(aim, Seen(), keys={}, applied={}, known=())
    assert not result
    assert ["private key is missing" in refusal for refusal in result.refusals] == [True]
    there = reality(given)
    assert not plan(aim, there, keys={}, applied={}, known=()), "what is there goes on"


def test_one_more_and_one_less_mention_nobody_else() -> None:
    before, after = wish(peer(2), peer(3)), wish(peer(3), peer(4))
    result = planned(after, reality(before), applied_to(before), {key(2)})
    assert result.closing == (Run(argv=("wg", "set", "wg0", "peer", key(2), "remove")),)
    (run,) = result.opening
    assert isinstance(run, Run)
    assert key(4) in run.stdin
    assert key(3) not in run.stdin
    assert result.remarks == ()


def test_a_thousand_at_once_are_one_command() -> None:
    many = wish(
        *(
            peer(0, public_key=key(n), device=str(n), allowed_ips=(f"10.99.{n // 250}.{n % 250}/32",))
            for n in range(1, 1001)
        )
    )
    up = planned(many, reality(wish()))
    assert [run.argv[:2] for run in up.opening if isinstance(run, Run)] == [
        ("wg", "addconf"),
        ("ip", "-force"),
    ]
    down = planned(wish(), reality(many), known={key(n) for n in range(1, 1001)})
    assert [run.argv[:3] for run in down.closing if isinstance(run, Run)] == [("wg", "set", "wg0")]


def test_a_stranger_is_removed_and_told() -> None:
    result = planned(wish(peer(2)), reality(wish(peer(2), peer(66))), known={key(2)})
    assert result.closing == (Run(argv=("wg", "set", "wg0", "peer", key(66), "remove")),)
    assert [(remark.kind, remark.public_key) for remark in result.remarks] == [("unknown-peer", key(66))]


def test_a_closed_window_is_no_stranger() -> None:
    given = wish(peer(2, not_after=NOW))
    result = planned(given, reality(wish(peer(2))), known={key(2)})
    assert result.closing != ()
    assert result.remarks == ()


def test_what_somebody_changed_is_restored_and_told() -> None:
    given = wish(peer(2), peer(3))
    other = wish(peer(2, allowed_ips=("10.99.0.0/28",)), peer(4))
    result = planned(given, reality(other), applied_to(given), {key(4)})
    assert {(remark.kind, remark.public_key, remark.detail.split(",")[1]) for remark in result.remarks} == {
        ("peer-changed", key(2), " changed by somebody else; restored"),
        ("peer-changed", key(3), " removed by somebody else; restored"),
    }
    assert planned(given, reality(other), {}, {key(4)}).remarks == (), "ours, before: not theirs"


def test_an_interface_that_went_is_one_remark() -> None:
    given = wish(peer(2), peer(3))
    result = planned(given, Seen(), applied_to(given))
    assert result.remarks == (Remark(kind="peer-changed", detail="interface wg0 was gone; made again"),)
    assert result.opening[0] == Make(name="wg0")


def test_interfaces_of_others_are_left_alone() -> None:
    foreign = Link(ours=False, up=True, mtu=1500, addresses=frozenset())
    result = planned(wish(peer(2)), Seen(links={"wg0": foreign, "wg7": foreign}))
    assert not result
    assert ["wg0" in refusal for refusal in result.refusals] == [True]


def test_our_interface_that_nobody_wishes_goes() -> None:
    given = wish(peer(2), interfaces=2)
    result = planned(wish(peer(2)), reality(given), applied_to(given))
    assert result.closing == (Run(argv=("ip", "link", "delete", "dev", "wg1")),)
    assert result.opening == ()


def test_the_interface_itself() -> None:
    given = wish(peer(2))
    right = reality(given)
    wrong = Seen(
        links={"wg0": Link(ours=True, up=False, mtu=1500, addresses=frozenset({"10.1.1.1/24"}))},
        wireguard={"wg0": Wireguard(public_key="", listen_port=7, peers=right.wireguard["wg0"].peers)},
        routes=frozenset({("10.1.1.0/24", "wg0"), *right.routes}),
    )
    result = planned(given, wrong, applied_to(given))
    assert result.opening == (
        Run(argv=("wg", "set", "wg0", "listen-port", "51820", "private-key", "/keys/k0")),
        Run(
            argv=("ip", "-force", "-batch", "-"),
            stdin="link set dev wg0 mtu 1420\nlink set dev wg0 up\naddress delete 10.1.1.1/24 dev wg0\n"
            "address replace 10.99.0.1/24 dev wg0 noprefixroute\n"
            "route replace 10.99.0.0/24 dev wg0 proto 179\n",
        ),
    )


def test_routes_follow_and_go() -> None:
    given = wish(peer(2), interfaces=2)
    there = reality(given)
    moved = Seen(
        links=there.links,
        wireguard=there.wireguard,
        routes=frozenset({("10.99.0.0/24", "wg0"), ("10.99.0.2/32", "wg1"), ("10.99.0.9/32", "wg1")}),
    )
    (run,) = planned(given, moved, applied_to(given)).opening
    assert isinstance(run, Run)
    assert run.stdin == "".join(f"route delete 10.99.0.{last}/32 dev wg1 proto 179\n" for last in (2, 9)), (
        "it was heard on wg0, whose network has a route"
    )


def test_without_rules_nobody_may_be_there() -> None:
    assert without_peers(reality(wish(peer(2)))) == [Run(argv=("wg", "set", "wg0", "peer", key(2), "remove"))]
    assert without_peers(reality(wish())) == []


def test_the_mark() -> None:
    assert alias("wg0").argv[-1] == seen.ALIAS


def test_a_peer_that_knocked_is_woken_in_the_same_step() -> None:
    before, given = wish(peer(2)), wish(peer(2), peer(3), peer(4, keepalive_seconds=20), peer(5))
    knocked = {("wg0", key(n)): f"192.0.2.{n}:4" for n in (2, 3, 4)}
    result = planned(given, reality(before), applied_to(before), endpoints=knocked)
    added, *calming = (step for step in result.opening if isinstance(step, Run))
    assert [line for line in added.stdin.splitlines() if line.startswith(("Endp", "Pers"))] == [
        "Endpoint = 192.0.2.3:4",
        "PersistentKeepalive = 25",
        "Endpoint = 192.0.2.4:4",
        "PersistentKeepalive = 20",
        "PersistentKeepalive = off",
    ]
    # Only where the keepalive was nobody's wish.
    assert calming == [Run(argv=("wg", "set", "wg0", "peer", key(3), "persistent-keepalive", "off"))]


def test_a_peer_that_is_there_keeps_its_endpoint() -> None:
    before, given = wish(peer(2)), wish(peer(2, allowed_ips=("10.99.0.77/32",)))
    result = planned(given, reality(before), endpoints={("wg0", key(2)): "192.0.2.9:9"})
    assert not any("192.0.2.9" in step.stdin for step in result.opening if isinstance(step, Run))


def test_a_new_interface_is_up_before_its_peers_are_calmed() -> None:
    result = planned(wish(peer(2)), Seen(), endpoints={("wg0", key(2)): "192.0.2.9:9"})
    assert isinstance(result.opening[-1], Run)
    assert result.opening[-1].argv[-1] == "off"
    assert isinstance(result.opening[-2], Run)
    assert " up\n" in result.opening[-2].stdin
