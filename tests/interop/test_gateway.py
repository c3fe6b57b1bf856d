"""Devices with only WireGuard, through a gateway that follows its wish: what passes and what does not."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import msgspec
import pytest

from coordinator.gateway.state import new_private_key
from coordinator.wireguard.wire import Rule, SeenPeer
from tests.support.waiting import eventually
from tests.support.wireguard_lab import (
    ALLOWED_PORT,
    CLOSED_PORT,
    MANAGED,
    OTHER,
    Device,
    Flow,
    WireguardLab,
    in_namespace,
    key_pair,
    opened,
)


@pytest.fixture(scope="module")
def lab() -> Iterator[WireguardLab]:
    with opened() as lab:
        yield lab


@pytest.fixture(scope="module")
def device(lab: WireguardLab) -> Device:
    return lab.device()


def let_in(lab: WireguardLab, device: Device, **wished: object) -> None:
    lab.settled(lab.server.wish(peers=(lab.wished(device, **wished),)))  # type: ignore[arg-type]
    device.point_to(lab.gateway_key(), 51820)
    eventually(device.reaches, "an answer through the tunnel")


def test_an_allowed_port_passes_and_nothing_else(lab: WireguardLab, device: Device) -> None:
    device.point_to(lab.gateway_key(), 51820)
    assert not device.reaches()
    let_in(lab, device)
    assert device.reaches(MANAGED, ALLOWED_PORT)
    assert not device.reaches(MANAGED, CLOSED_PORT)
    assert not device.reaches(OTHER, ALLOWED_PORT)
    assert not device.connects(MANAGED, ALLOWED_PORT)
    # Nor the gateway itself.
    assert not device.connects("10.99.0.1", 22)
    lab.settled(lab.server.wish(peers=()))
    assert not device.reaches(within=1.0)


def test_a_rule_that_is_taken_away_ends_what_it_allowed(lab: WireguardLab, device: Device) -> None:
    let_in(lab, device)
    with device.flow() as flow:
        assert flow.echo()
        lab.settled(lab.server.wish(peers=(lab.wished(device, rules=()),)))
        assert not flow.echo()
        lab.settled(lab.server.wish(peers=(lab.wished(device),)))
        assert flow.echo()


def test_every_kind_of_rule(lab: WireguardLab, device: Device) -> None:
    tcp = Rule(networks=("10.60.10.0/24",), proto="tcp", ports=((8000, 8100), (22, 22)))
    ping = Rule(networks=("10.60.20.5/32", "10.99.0.1/32"), proto="icmp")
    lab.settled(lab.server.wish(peers=(lab.wished(device, rules=(tcp, ping)),)))
    device.point_to(lab.gateway_key(), 51820)
    eventually(device.connects, "a TCP connection")
    assert not device.connects(port=CLOSED_PORT)
    assert not device.connects(OTHER)
    assert not device.reaches()
    for address, answers in (("10.60.20.5", True), ("10.99.0.1", True), ("10.60.10.5", False)):
        assert device.pings(address) == answers, address
    any_protocol = Rule(networks=("10.60.20.0/24",), ports=((CLOSED_PORT, CLOSED_PORT),))
    lab.settled(lab.server.wish(peers=(lab.wished(device, rules=(any_protocol,)),)))
    assert device.connects(OTHER, CLOSED_PORT)
    assert device.reaches(OTHER, CLOSED_PORT)
    assert not device.connects(OTHER, ALLOWED_PORT)
    assert not device.pings("10.60.20.5")
    everything = Rule(networks=("10.60.0.0/16",))
    lab.settled(lab.server.wish(peers=(lab.wished(device, rules=(everything,)),)))
    assert device.pings("10.60.20.5")
    assert device.reaches(OTHER, CLOSED_PORT)


def test_who_may_reach_a_peer(lab: WireguardLab, device: Device) -> None:
    let_in(lab, device)
    management = f"{lab.bridge.name}-mgmt"
    lab.in_management("ip", "route", "replace", "10.99.0.0/24", "via", "10.60.10.1", "src", MANAGED)
    echo(lab, device, device.namespace)
    assert not reaches(management, device.address)
    inbound = (Rule(networks=(f"{MANAGED}/32",), proto="udp", ports=((ALLOWED_PORT, ALLOWED_PORT),)),)
    lab.settled(lab.server.wish(peers=(lab.wished(device, inbound=inbound),)))
    assert reaches(management, device.address)
    lab.settled(lab.server.wish(peers=(lab.wished(device, rules=(), inbound=inbound),)))
    assert reaches(management, device.address), "answers need no rule"
    assert not device.reaches()
    lab.in_management("ip", "route", "delete", "10.99.0.0/24")


def test_between_two_peers_both_have_to_agree(lab: WireguardLab, device: Device) -> None:
    other = lab.device()
    echo(lab, other, other.namespace)
    out = (Rule(networks=("10.99.0.0/24",), proto="udp"), Rule(networks=("10.60.10.0/24",)))
    into = (Rule(networks=(f"{device.address}/32",), proto="udp", ports=((ALLOWED_PORT, ALLOWED_PORT),)),)
    lab.settled(lab.server.wish(peers=(lab.wished(device, rules=out), lab.wished(other, rules=out))))
    for each in (device, other):
        each.point_to(lab.gateway_key(), 51820)
        eventually(each.reaches, "an answer through the tunnel")
    assert not device.reaches(other.address)
    wished = (lab.wished(device, rules=out), lab.wished(other, rules=out, inbound=into))
    lab.settled(lab.server.wish(peers=wished))
    assert device.reaches(other.address)
    assert not other.reaches(device.address)
    wished = (lab.wished(device, rules=out[1:]), lab.wished(other, rules=out, inbound=into))
    lab.settled(lab.server.wish(peers=wished))
    assert not device.reaches(other.address)
    assert device.reaches()


def test_ipv6(lab: WireguardLab, device: Device) -> None:
    lab.on_gateway("ip", "address", "add", "fd60::1/64", "dev", "lan0", "nodad")
    lab.on_gateway("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    lab.in_management("ip", "address", "add", "fd60::5/64", "dev", "eth0", "nodad")
    for command in ("address add fd99::11/128", "route add fd60::/64"):
        device.run("ip", "-6", *command.split(), "dev", device.interface)
    interface = msgspec.structs.replace(lab.interface(), addresses=("10.99.0.1/24", "fd99::1/64"))
    rules = (
        Rule(networks=("10.60.10.0/24", "fd60::5/128"), proto="udp", ports=((ALLOWED_PORT, ALLOWED_PORT),)),
        Rule(networks=("fd60::1/128",), proto="icmp"),
    )
    both = (f"{device.address}/32", "fd99::11/128")
    peer = msgspec.structs.replace(lab.wished(device, rules=rules), allowed_ips=both)
    lab.settled(lab.server.wish(peers=(peer,), interfaces=(interface,)))
    management = f"{lab.bridge.name}-mgmt"
    for port in (ALLOWED_PORT, CLOSED_PORT):
        in_namespace(management, partial(lab.echo, "fd60::5", port))
    device.point_to(lab.gateway_key(), 51820)
    eventually(device.reaches, "an answer through the tunnel")
    eventually(lambda: device.reaches("fd60::5"), "an answer over IPv6")
    assert not device.reaches("fd60::5", CLOSED_PORT)
    assert device.pings("fd60::1")
    assert not device.pings("fd60::5")
    lab.settled(lab.server.wish(peers=(lab.wished(device),), interfaces=(lab.interface(),)))
    assert not device.reaches("fd60::5")
    assert device.reaches()


def test_a_preshared_key(lab: WireguardLab, device: Device) -> None:
    secret = new_private_key()
    lab.settled(lab.server.wish(peers=(lab.wished(device, preshared=secret),)))
    device.point_to(lab.gateway_key(), 51820)
    assert not device.reaches(within=1.0)
    device.point_to(lab.gateway_key(), 51820, preshared=secret)
    eventually(device.reaches, "an answer through the tunnel")
    assert secret not in lab.program.log_text()
    lab.settled(lab.server.wish(peers=(lab.wished(device),)))
    device.point_to(lab.gateway_key(), 51820)
    eventually(device.reaches, "an answer through the tunnel")


def test_a_window_by_the_gateways_clock(lab: WireguardLab, device: Device) -> None:
    device.point_to(lab.gateway_key(), 51820)
    peer = lab.wished(device, opens=1.5, closes=4.0)
    lab.settled(lab.server.wish(peers=(peer,)))
    assert peer.not_after is not None
    assert device.public_key not in lab.peers()
    assert not device.reaches()
    eventually(lambda: device.public_key in lab.peers(), "the window's beginning", every=0.01)
    late = (datetime.now(UTC) - peer.not_before).total_seconds()
    assert 0 <= late < 1, late
    device.point_to(lab.gateway_key(), 51820)
    eventually(device.reaches, "an answer through the tunnel")
    eventually(lambda: device.public_key not in lab.peers(), "the window's end", every=0.01)
    late = (datetime.now(UTC) - peer.not_after).total_seconds()
    assert 0 <= late < 1, late
    assert not device.reaches()
    assert "closed-alone" not in lab.server.kinds()


def test_what_is_reported(lab: WireguardLab, device: Device) -> None:
    let_in(lab, device)
    for _ in range(5):
        device.reaches(MANAGED, CLOSED_PORT, within=0.05)

    def told() -> SeenPeer | None:
        peers = [peer for peer in lab.server.reports[-1].peers if peer.public_key == device.public_key]
        return peers[0] if peers and peers[0].refused_packets >= 5 and peers[0].endpoint else None

    peer = eventually(told, "a report with what was refused")
    assert peer.endpoint.startswith(device.host.address)
    assert peer.interface == lab.interface().name
    assert peer.latest_handshake is not None
    assert abs((datetime.now(UTC) - peer.latest_handshake).total_seconds()) < 30
    assert peer.received_bytes > 0
    assert peer.sent_bytes > 0
    assert lab.server.reports[-1].agent.startswith("coordinator ")


def test_others_do_not_notice_a_change(lab: WireguardLab, device: Device) -> None:
    let_in(lab, device)
    others = tuple(
        msgspec.structs.replace(
            lab.wished(device, key=key_pair()[1]), device=f"x{n}", allowed_ips=(f"10.99.0.{100 + n}/32",)
        )
        for n in range(20)
    )
    handshakes = lab.on_gateway("wg", "show", lab.interface().name, "latest-handshakes")
    with device.flow() as flow:
        for number in range(len(others)):
            lab.server.wish(peers=(lab.wished(device), *others[number:]))
            assert flow.echo(), number
    lab.settled(lab.server.wish(peers=(lab.wished(device),)))
    assert lab.on_gateway("wg", "show", lab.interface().name, "latest-handshakes") == handshakes


def test_counters_go_on_over_changes_of_the_rules(lab: WireguardLab, device: Device) -> None:
    let_in(lab, device)
    before = counters(lab, device.address)
    assert before["received"] > 0
    assert before["sent"] > 0
    lab.settled(lab.server.wish(peers=(lab.wished(device, rules=()),)))
    assert counters(lab, device.address) == before
    # The whole table anew.
    lab.on_gateway("nft", "add", "chain", "inet", "coordinator_gateway", "foreign")
    eventually(lambda: "foreign" not in lab.rules(), "the table made anew")
    assert counters(lab, device.address) == before


def test_fifty_windows(lab: WireguardLab, device: Device) -> None:
    lab.settled(lab.server.wish(peers=()))
    opening, closing = [], []
    for _ in range(50):
        started = time.perf_counter()
        lab.server.wish(peers=(lab.wished(device),))
        while True:
            # A device comes when it was told that it may; its first handshake before that is lost.
            device.point_to(lab.gateway_key(), 51820)
            if device.reaches(within=0.05):
                break
            assert time.perf_counter() - started < 5
        opening.append(time.perf_counter() - started)
        with device.flow() as flow:
            started = time.perf_counter()
            lab.server.wish(peers=())
            while flow.echo(within=0.02):
                assert time.perf_counter() - started < 5
        closing.append(time.perf_counter() - started)
    for name, times in (("opening", sorted(opening)), ("closing", sorted(closing))):
        median, most_of, most = (round(times[place] * 1000) for place in (25, 44, -1))
        print(f"{name}: median {median} ms, 90 % {most_of} ms, most {most} ms")
        assert times[-1] < 1, name


def echo(lab: WireguardLab, device: Device, namespace: str) -> None:
    """A UDP echo on a device."""
    in_namespace(namespace, lambda: lab.echo(device.address, ALLOWED_PORT))


def reaches(namespace: str, address: str) -> bool:
    """Whether a UDP echo comes back to somebody in a namespace."""
    with Flow(namespace, address, ALLOWED_PORT) as flow:
        return flow.echo()


def counters(lab: WireguardLab, address: str) -> dict[str, int]:
    """Bytes a device's named counters show, by the counters' first words."""
    text = lab.on_gateway("nft", "-j", "list", "table", "inet", "coordinator_gateway")
    listed = json.loads(text)["nftables"]
    maps = {entry["map"]["name"]: entry["map"].get("elem", []) for entry in listed if "map" in entry}
    values = {entry["counter"]["name"]: entry["counter"]["bytes"] for entry in listed if "counter" in entry}
    return {word: values[dict(maps[f"{word}4"])[address]] for word in ("received", "sent", "refused")}
