"""Two keys of one device, and two of the gateway, valid at the same time."""

from collections.abc import Iterator

import pytest

from tests.support.waiting import eventually, holds
from tests.support.wireguard_lab import Device, WireguardLab, key_pair, opened


@pytest.fixture(scope="module")
def lab() -> Iterator[WireguardLab]:
    with opened() as lab:
        yield lab


@pytest.fixture
def device(lab: WireguardLab) -> Device:
    """One that is in."""
    made = lab.device()
    lab.settled(lab.server.wish(peers=(lab.wished(made),), interfaces=(lab.interface(),)))
    made.point_to(lab.gateway_key(), 51820)
    eventually(made.reaches, "an answer through the tunnel")
    return made


def test_a_device_changes_its_key(lab: WireguardLab, device: Device) -> None:
    old, (private, new) = device.public_key, key_pair()
    both = (lab.wished(device, key=old), lab.wished(device, key=new))
    with device.flow() as flow:
        lab.settled(lab.server.wish(peers=both))
        assert lab.peers() == {old: f"{device.address}/32", new: "(none)"}
        holds(flow.echo, "the old key while it is the newest", seconds=1)
        device.use_key(private)
        device.point_to(lab.gateway_key(), 51820)
        eventually(flow.echo, "an answer with the new key", within=5)
        eventually(lambda: lab.peers() == {old: "(none)", new: f"{device.address}/32"}, "the addresses moved")
        lab.settled(lab.server.wish(peers=both[1:]))
        assert lab.peers() == {new: f"{device.address}/32"}
        holds(flow.echo, "the new key alone", seconds=1)
    assert lab.server.kinds() == []


def test_the_gateway_changes_its_key(lab: WireguardLab, device: Device) -> None:
    late = lab.device()
    peers = (lab.wished(device), lab.wished(late))
    lab.settled(lab.server.wish(peers=peers))
    late.point_to(lab.gateway_key(), 51820)
    eventually(late.reaches, "an answer through the tunnel")
    with device.flow() as flow, late.flow() as other:
        lab.settled(lab.server.wish(interfaces=(lab.interface(), lab.interface(1))))
        assert lab.gateway_key(1) != lab.gateway_key(0)
        holds(flow.echo, "the old interface", seconds=1)
        # One device follows at once, the other later: each has its way back.
        device.point_to(lab.gateway_key(1), 51821)
        eventually(flow.echo, "an answer through the new interface", within=5)
        holds(lambda: flow.echo() and other.echo(), "both interfaces", seconds=1)
        late.point_to(lab.gateway_key(1), 51821)
        eventually(other.echo, "an answer through the new interface", within=5)
        old = (lab.state / "keys" / "k0").read_text()
        lab.settled(lab.server.wish(interfaces=(lab.interface(1),)))
        holds(lambda: flow.echo() and other.echo(), "the new interface alone", seconds=1)
    assert lab.peers(0) == {}
    assert not (lab.state / "keys" / "k0").exists(), "the old key is of no use to anybody"
    assert old.strip() not in lab.program.log_text()
    assert set(lab.peers(1)) == {device.public_key, late.public_key}
    assert lab.server.kinds() == []
