"""Devices whose WireGuard is up before their window opens: heard, and answered the moment it does."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.gateway.nflog import listen
from coordinator.gateway.rules import KNOCK_GROUP
from coordinator.wireguard.wire import Knocked
from tests.coordinator.gateway.initiations import initiation
from tests.support.waiting import eventually
from tests.support.wireguard_lab import (
    Device,
    Pinging,
    WireguardLab,
    in_namespace,
    key_pair,
    opened,
    run,
)

WINDOWS = int(os.environ.get("WINDOWS", "5"))
"""With 20 the figures are worth telling."""


@pytest.fixture(scope="module")
def lab() -> Iterator[WireguardLab]:
    with opened() as lab:
        yield lab


@pytest.fixture(scope="module")
def device(lab: WireguardLab) -> Device:
    return lab.device()


def test_a_device_that_was_up_before_its_window(lab: WireguardLab, device: Device) -> None:
    took = windows(lab, device)
    print("from the wish to the first answer:", figures(took))
    assert max(took) < 1, took
    # The keepalive was only to wake it.
    interface = lab.interface().name
    assert lab.on_gateway("wg", "show", interface, "persistent-keepalive").split() == [
        device.public_key,
        "off",
    ]
    assert "peer-changed" not in lab.server.kinds()


def test_a_device_that_was_up_before_its_window_behind_a_nat(lab: WireguardLab) -> None:
    hidden, router = behind_nat(lab)
    took = windows(lab, hidden)
    print("the same behind a NAT:", figures(took))
    assert max(took) < 1, took
    endpoints = lab.on_gateway("wg", "show", lab.interface().name, "endpoints")
    assert f"{hidden.public_key}\t{router}:" in endpoints


def test_a_window_that_opens_again(lab: WireguardLab, device: Device) -> None:
    """The device still has a session then and does not knock; where it was is known."""
    lab.settled(lab.server.wish(peers=(lab.wished(device),)))
    device.point_to(lab.gateway_key(), 51820)
    with Pinging(device) as pinging:
        eventually(lambda: pinging.answered, "an answer through the tunnel", every=0.005)
        lab.settled(lab.server.wish(peers=()))
        time.sleep(1.0)
        pinging.answered.clear()
        started = time.time()
        lab.server.wish(peers=(lab.wished(device),))
        eventually(lambda: pinging.answered, "an answer through the tunnel", every=0.005)
        assert pinging.answered[0] - started < 1


def test_over_ipv6(lab: WireguardLab, device: Device) -> None:
    lab.on_gateway("ip", "address", "add", "fd97::1/64", "dev", "eth0", "nodad")
    device.run("ip", "address", "add", "fd97::2/64", "dev", "eth0", "nodad")
    lab.settled(lab.server.wish(peers=()))
    device.point_to(lab.gateway_key(), 51820)
    peer = ("peer", lab.gateway_key(), "endpoint", "[fd97::1]:51820")
    device.run("wg", "set", device.interface, *peer)
    with Pinging(device) as pinging:
        time.sleep(0.5)
        started = time.time()
        lab.server.wish(peers=(lab.wished(device),))
        eventually(lambda: pinging.answered, "an answer through the tunnel", every=0.005)
        assert pinging.answered[0] - started < 1
    assert "[fd97::2]:" in lab.on_gateway("wg", "show", lab.interface().name, "endpoints")


def test_a_key_nobody_wished_for_is_told_once_a_minute(lab: WireguardLab, device: Device) -> None:
    private, public = key_pair()
    stranger = lab.device()
    stranger.use_key(private)
    # Each time a device is pointed to it, it begins anew.
    for _ in range(3):
        stranger.point_to(lab.gateway_key(), 51820)
        stranger.reaches(within=0.1)
    (knock, *more) = eventually(lambda: knocks(lab, public), "the knock in a report", within=10)
    assert knock.endpoint.startswith(f"{stranger.host.address}:")
    assert 1 <= knock.count <= 3
    time.sleep(lab.server.report_seconds + 1)
    assert knocks(lab, public) == [knock]
    assert more == []


def test_the_rule_is_restored(lab: WireguardLab) -> None:
    lab.on_gateway("nft", "flush", "chain", "inet", "coordinator_gateway", "knocks")
    eventually(lambda: "log group" in lab.rules(), "the rule")
    eventually(lambda: "rules-changed" in lab.server.kinds(), "the report of it", within=10)


@pytest.mark.parametrize("knowing", [False, True], ids=["anybody", "who-knows-the-public-key"])
def test_a_flood(lab: WireguardLab, device: Device, knowing: bool) -> None:
    lab.settled(lab.server.wish(peers=()))
    key = lab.gateway_key()
    made = [initiation(key, os.urandom(32)) for _ in range(500)] if knowing else []
    before, started = cpu(lab.program.pid), time.perf_counter()
    sent = 0
    with in_namespace(device.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as flood:
        flood.connect((lab.gateway.address, 51820))
        while time.perf_counter() - started < 5:
            for _ in range(50):
                flood.send(made[sent % len(made)] if made else b"\x01\x00\x00\x00" + os.urandom(144))
                sent += 1
            time.sleep(0.01)
    took = time.perf_counter() - started
    share = (cpu(lab.program.pid) - before) / took
    print(
        f"flood of {sent / took:.0f} packets a second, knowing={knowing}: {share * 100:.1f} % of a processor"
    )
    assert share < 0.5
    # Nothing is held against anybody afterwards.
    assert max(windows(lab, device, times=1)) < 1


def test_somebody_else_has_the_packet_log() -> None:
    """As in a kernel without one: everything but hearing goes on, and that is said once."""
    with WireguardLab() as lab, in_namespace(lab.gateway_namespace, lambda: listen(KNOCK_GROUP)):
        lab.server.wish(interfaces=(lab.interface(),))
        lab.start()
        device = lab.device()
        lab.settled(lab.server.wish(peers=(lab.wished(device),)))
        device.point_to(lab.gateway_key(), 51820)
        eventually(device.reaches, "an answer through the tunnel")
        assert "log group" not in lab.rules()
        assert [each.detail for each in lab.server.events if "not heard" in each.detail]
        assert lab.server.kinds() == ["apply-failed"]


def knocks(lab: WireguardLab, public_key: str) -> list[Knocked]:
    """All that was reported of a key."""
    return [each for made in lab.server.reports for each in made.knocks if each.public_key == public_key]


def windows(lab: WireguardLab, device: Device, times: int = WINDOWS) -> list[float]:
    """Seconds from the wish to the first answer, for a device that has been trying for a while."""
    took = []
    for number in range(times):
        lab.settled(lab.server.wish(peers=()))
        device.point_to(lab.gateway_key(), 51820)
        with Pinging(device) as pinging:
            # Never a multiple of WireGuard's own five seconds.
            time.sleep(0.5 + (number * 0.7) % 4)
            assert not pinging.answered
            started = time.time()
            lab.server.wish(peers=(lab.wished(device),))
            eventually(lambda: pinging.answered, "an answer through the tunnel", every=0.005)
            took.append(pinging.answered[0] - started)
    return took


def behind_nat(lab: WireguardLab) -> tuple[Device, str]:
    """A device in a network of its own, and the address of the router that hides it."""
    folder = lab.folder / "nat"
    folder.mkdir()
    router = lab.bridge.add_host("nat", folder)
    inside = f"{lab.bridge.name}-nat"
    device = lab.device()
    device.run("ip", "link", "delete", "eth0")
    device.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "home0", "netns", inside)
    for command in (
        "address add 192.168.77.2/24 dev eth0",
        "link set eth0 up",
        "route add default via 192.168.77.1",
    ):
        device.run("ip", *command.split())
    for command in (
        "ip address add 192.168.77.1/24 dev home0",
        "ip link set home0 up",
        "sysctl -qw net.ipv4.ip_forward=1",
        "nft add table ip nat",
        "nft add chain ip nat out { type nat hook postrouting priority srcnat; }",
        "nft add rule ip nat out oifname eth0 masquerade random",
    ):
        run("ip", "netns", "exec", inside, *command.split())
    return device, router.address


def cpu(pid: int) -> float:
    """Seconds of processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def figures(took: list[float]) -> str:
    """For people."""
    ordered = sorted(took)
    median = ordered[len(took) // 2]
    return f"median {median * 1000:.0f} ms, longest {ordered[-1] * 1000:.0f} ms, of {len(took)}"
