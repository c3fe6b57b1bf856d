"""A file with a profile, a gateway and a peer, on a real server and gateway: packets go as it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.interop.test_wireguard_server import FIRST_HANDSHAKE
from tests.support.waiting import eventually
from tests.support.wireguard_lab import (
    ALLOWED_PORT,
    CLOSED_PORT,
    MANAGED,
    OTHER,
    Device,
)
from tests.support.wireguard_site import Site, opened_site


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with opened_site() as made:
        yield made


def declaration(site: Site, device: Device, *, port: int, profile: str = "lab") -> str:
    return f"""\
profiles:
  {profile}:
    src: ["ada@"]
    dst: ["10.60.10.0/24:{port}"]
    proto: udp
    maxDuration: 4h
    approvers: ["bob@"]
gateways:
  - {{name: gw, host: {site.lab.gateway.address}, pools: [10.99.0.0/24]}}
peers:
  - name: phone
    publicKey: {device.public_key}
    gateway: gw
    user: ada
    profile: {profile}
    addresses: [{device.address}]
"""


def apply(site: Site, text: str, *more: str) -> list[tuple[str, str, str]]:
    file = site.lab.folder / "wireguard.yaml"
    file.write_text(text)
    done: Any = site.cli("apply", str(file), *more)
    return [(each["verb"], each["kind"], each["detail"]) for each in done["changes"]]


def test_a_declared_profile_from_the_file_to_the_packet(site: Site) -> None:
    device = site.lab.device("10.99.0.21")
    text = declaration(site, device, port=ALLOWED_PORT)
    dry = apply(site, text, "--dry-run")
    assert dry == [("create", "profile", ""), ("change", "gateway", "declared"), ("create", "peer", "")]
    assert apply(site, text) == dry
    assert apply(site, text) == []
    policy = site.server.cli("access", "profiles")
    assert [(each["name"], each["source"]) for each in policy] == [("mgmt", "policy"), ("lab", "apply")]
    key = site.cli("gateways", "show", "gw")["keys"][-1]
    device.point_to(key["public_key"], key["listen_port"])
    assert not device.reaches()
    asked = site.server.cli("access", "request", "lab", "--user", "ada", "--for", "1h")
    site.server.cli("access", "approve", asked["id"], "--as", "bob")
    eventually(device.reaches, "an answer through the tunnel", within=FIRST_HANDSHAKE)
    assert not device.reaches(MANAGED, CLOSED_PORT)
    assert not device.reaches(OTHER, ALLOWED_PORT)
    # Changed while the window is open: what it opens moves at once.
    apply(site, declaration(site, device, port=CLOSED_PORT))
    eventually(lambda: device.reaches(MANAGED, CLOSED_PORT), "the other port", within=2, every=0.01)
    assert not device.reaches()
    # A restart finds it where it was.
    site.server.kill9()
    site.server.start()
    assert device.reaches(MANAGED, CLOSED_PORT)
    assert apply(site, declaration(site, device, port=CLOSED_PORT)) == []
    # Declared no more: closed, and the request has ended, as if it had left the policy.
    apply(site, declaration(site, device, port=ALLOWED_PORT, profile="other"))
    eventually(lambda: not device.reaches(MANAGED, CLOSED_PORT, within=0.1), "the end", within=1, every=0.01)
    assert not device.reaches()
    ended = site.server.cli("access", "show", asked["id"])
    assert (ended["state"], ended["end_reason"]) == ("ended", "policy")
    (entry,) = site.server.cli("audit", "list", "--action", "profile.delete")
    assert entry["object"]["name"] == "lab"
