"""A gateway that is killed, rebooted, alone, wrong about the time, or changed by hand."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from coordinator.wireguard.wire import Noticed, WishedPeer
from tests.support.waiting import eventually, holds
from tests.support.wireguard_lab import (
    CLOSED_PORT,
    Device,
    WireguardLab,
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


@pytest.fixture(autouse=True)
def usual(lab: WireguardLab, device: Device) -> None:
    """The device is in without an end, the program runs, and the server has no reports."""
    if not lab.program.running:
        lab.start()
    version = lab.server.wish(peers=(lab.wished(device),))
    lab.settled(version)
    if not device.reaches():
        device.point_to(lab.gateway_key(), 51820)
        eventually(device.reaches, "an answer through the tunnel")
    lab.server.reports[:-1] = []


def told(lab: WireguardLab, kind: str) -> Noticed:
    return eventually(
        lambda: next((event for event in lab.server.events if event.kind == kind), None), f"the event {kind}"
    )


def test_killed_and_started_again(lab: WireguardLab, device: Device) -> None:
    handshakes = lab.on_gateway("wg", "show", lab.interface().name, "latest-handshakes")
    with device.flow() as flow:
        lab.program.kill()
        assert flow.echo()
        lab.start()
        log = lab.program.log_text()
        holds(flow.echo, "the open connection", seconds=3)
    assert lab.on_gateway("wg", "show", lab.interface().name, "latest-handshakes") == handshakes
    assert lab.server.kinds() == []
    assert "task failed" not in log


def test_dead_while_a_window_ends(lab: WireguardLab, device: Device) -> None:
    """The kernel's own timeout closes, a few seconds late."""
    peer = lab.wished(device, closes=2.5)
    lab.settled(lab.server.wish(peers=(peer,)))
    lab.program.kill()
    assert device.reaches()
    eventually(lambda: not device.reaches(), "the kernel closing the window", every=0.2)
    assert peer.not_after is not None
    late = (datetime.now(UTC) - peer.not_after).total_seconds()
    assert 0 < late < 6
    assert device.public_key in lab.peers()
    lab.start()
    eventually(lambda: device.public_key not in lab.peers(), "the peer gone")
    assert "unknown-peer" not in lab.server.kinds()


def test_rebooted(lab: WireguardLab, device: Device) -> None:
    key = lab.gateway_key()
    lab.reboot()
    assert lab.peers() == {}
    assert lab.rules() == ""
    lab.start()
    # The session is gone on one side: the device notices by itself, here it is told.
    eventually(lambda: device.public_key in lab.peers(), "the peer provisioned again")
    device.point_to(key, 51820)
    eventually(device.reaches, "an answer through the tunnel")
    assert lab.gateway_key() == key


def test_rebooted_without_the_server(lab: WireguardLab, device: Device) -> None:
    other = key_pair()[1]
    ends = lab.wished(device, key=other, closes=2.0)
    lab.settled(lab.server.wish(peers=(lab.wished(device), _elsewhere(ends))))
    assert set(lab.peers()) == {device.public_key, other}
    lab.server.stop()
    lab.reboot()
    eventually(lambda: not ends.not_after or datetime.now(UTC) > ends.not_after, "the window's end")
    lab.start()
    try:
        eventually(lambda: device.public_key in lab.peers(), "the open window provisioned")
        assert other not in lab.peers()
        device.point_to(lab.gateway_key(), 51820)
        eventually(device.reaches, "an answer through the tunnel")
    finally:
        lab.server.start()


def test_alone_for_longer_than_a_window(lab: WireguardLab, device: Device) -> None:
    later = key_pair()[1]
    ends = lab.wished(device, closes=3.0)
    begins = _elsewhere(lab.wished(device, key=later, opens=3.5))
    lab.settled(lab.server.wish(peers=(ends, begins)))
    lab.server.stop()
    try:
        eventually(lambda: not device.reaches(within=0.05), "the window's end")
        assert ends.not_after is not None
        late = (datetime.now(UTC) - ends.not_after).total_seconds()
        assert -0.1 <= late < 1, late
        eventually(lambda: later in lab.peers(), "the other window's beginning")
    finally:
        lab.server.start()
    event = told(lab, "closed-alone")
    assert event.public_key == device.public_key
    assert abs((event.at - ends.not_after).total_seconds()) < 1
    assert lab.server.kinds().count("closed-alone") == 1


def test_a_token_that_is_no_longer_valid(lab: WireguardLab, device: Device) -> None:
    lab.settled(lab.server.wish(peers=(lab.wished(device, closes=3.0),)))
    lab.server.refusing = True
    try:
        lab.server.wish(peers=())
        eventually(lambda: "does not accept the token" in lab.program.log_text(), "the log saying why")
        assert device.reaches()
        eventually(lambda: not device.reaches(within=0.05), "the window's end")
    finally:
        lab.server.refusing = False
    lab.settled(str(lab.server.wish(peers=())))


def test_a_peer_added_by_hand(lab: WireguardLab, device: Device) -> None:
    stranger, interface = key_pair()[1], lab.interface().name
    with device.flow() as flow:
        lab.on_gateway("wg", "set", interface, "peer", stranger, "allowed-ips", "10.99.0.77/32")
        eventually(lambda: stranger not in lab.peers(), "the stranger gone", within=4)
        assert flow.echo()
    event = told(lab, "unknown-peer")
    assert event.public_key == stranger


def test_a_peer_changed_or_removed_by_hand(lab: WireguardLab, device: Device) -> None:
    interface, allowed = lab.interface().name, f"{device.address}/32"
    lab.on_gateway("wg", "set", interface, "peer", device.public_key, "allowed-ips", "10.99.0.0/24")
    eventually(lambda: lab.peers()[device.public_key] == allowed, "the peer restored", within=4)
    assert told(lab, "peer-changed").public_key == device.public_key
    assert device.reaches()
    lab.on_gateway("wg", "set", interface, "peer", device.public_key, "remove")
    eventually(lambda: device.public_key in lab.peers(), "the peer restored", within=4)
    eventually(lambda: len(lab.server.events) == 2, "a second event")


def test_rules_changed_by_hand(lab: WireguardLab, device: Device) -> None:
    before = _still(lab.rules())
    for command in (
        "flush ruleset",
        "delete table inet coordinator_gateway",
        "insert rule inet coordinator_gateway forward_from accept",
        "flush chain inet coordinator_gateway to_peers",
        f"delete element inet coordinator_gateway from4 {{ {device.address} }}",
        "add chain inet coordinator_gateway mine",
    ):
        lab.server.reports[:-1] = []
        lab.on_gateway("nft", *command.split())
        eventually(lambda: _still(lab.rules()) == before, f"the rules after `{command}`", within=5)
        told(lab, "rules-changed")
        assert device.reaches(), command
        lab.server.reports[-1:] = []
        eventually(lambda: lab.server.reports, "another report")
    # What others do in tables of their own is no business of ours.
    lab.on_gateway("nft", "add", "table", "inet", "elsewhere")
    eventually(lambda: len(lab.server.reports) > 2, "two more reports")
    assert "rules-changed" not in [event.kind for event in lab.server.reports[-1].events]
    lab.on_gateway("nft", "delete", "table", "inet", "elsewhere")


def test_rules_are_back_before_anybody_gets_far(lab: WireguardLab, device: Device) -> None:
    with device.flow(port=CLOSED_PORT) as flow:
        gone = time.perf_counter()
        lab.on_gateway("nft", "flush", "ruleset")
        eventually(lambda: "drop" in lab.rules(), "the rules", within=3, every=0.005)
        took = time.perf_counter() - gone
        assert not flow.echo()
    print(f"rules restored after {took * 1000:.0f} ms")
    assert took < 1


def test_the_interface_changed_by_hand(lab: WireguardLab, device: Device) -> None:
    name = lab.interface().name
    for command in (
        f"ip link set dev {name} down",
        f"ip address flush dev {name}",
        f"ip route flush dev {name}",
        f"wg set {name} listen-port 0",
    ):
        lab.on_gateway(*command.split())
        eventually(device.reaches, f"an answer after `{command}`", within=8)
    lab.on_gateway("ip", "link", "delete", "dev", name)
    eventually(lambda: device.public_key in lab.peers(), "the interface made again")
    assert "was gone" in told(lab, "peer-changed").detail


def test_somebody_elses_interface_stays(lab: WireguardLab, device: Device) -> None:
    lab.on_gateway("ip", "link", "add", lab.interface(1).name, "type", "bridge")
    lab.server.wish(interfaces=(lab.interface(), lab.interface(1)))
    try:
        assert "did not make" in told(lab, "apply-failed").detail
        assert device.reaches()
        assert lab.server.reports[-1].version != str(lab.server.version)
        assert "bridge" in lab.on_gateway("ip", "-details", "link", "show", lab.interface(1).name)
    finally:
        lab.on_gateway("ip", "link", "delete", lab.interface(1).name)
        lab.settled(lab.server.wish(interfaces=(lab.interface(),)))


def test_a_mistake_in_one_peer_keeps_no_other_from_closing(lab: WireguardLab, device: Device) -> None:
    wrong = _elsewhere(lab.wished(device, key="no key"))
    lab.server.wish(peers=(wrong,))
    eventually(lambda: not device.reaches(within=0.1), "the device shut out", within=2)
    assert "not base64" in told(lab, "apply-failed").detail


def test_a_wrong_clock(lab: WireguardLab, device: Device) -> None:
    """The server's is an hour ahead: windows go by it, and the difference is reported."""
    lab.server.ahead = timedelta(hours=1)
    try:
        peer = lab.wished(device, opens=3590, closes=3603)
        lab.settled(lab.server.wish(peers=(peer,)))
        assert "behind the server's" in told(lab, "clock").detail
        device.point_to(lab.gateway_key(), 51820)
        eventually(device.reaches, "an answer through the tunnel")
        eventually(lambda: device.public_key not in lab.peers(), "the window's end")
        lab.program.kill()
        lab.server.stop()
        lab.start()
        time.sleep(1)
        assert device.public_key not in lab.peers(), "the difference is known after a restart"
    finally:
        lab.server.ahead = timedelta(0)
        lab.server.start()


def test_the_state_belongs_to_one(lab: WireguardLab) -> None:
    for path in (lab.state, *lab.state.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    text = lab.program.log_text()
    for path in (lab.state / "keys").iterdir():
        assert path.read_text().strip() not in text
    with pytest.raises(AssertionError, match="another gateway program"):
        lab.on_gateway(*lab.command("--once"))


def _elsewhere(peer: WishedPeer) -> WishedPeer:
    return msgspec.structs.replace(peer, device="elsewhere", allowed_ips=("10.99.0.200/32",))


def _still(rules: str) -> str:
    """Without what changes by itself."""
    return re.sub(r"(packets|bytes|expires|timeout) \S+", "", rules)
