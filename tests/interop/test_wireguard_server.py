"""The server, the gateway program and a device with only WireGuard: from asking to the end of a window."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from coordinator.wireguard.keys import parse_public_key
from tests.support.waiting import eventually
from tests.support.wireguard_lab import (
    ALLOWED_PORT,
    CLOSED_PORT,
    MANAGED,
    OTHER,
    Pinging,
    key_pair,
)
from tests.support.wireguard_site import Site, opened_site

FIRST_HANDSHAKE = 6.0
"""Seconds: a device whose first packet went unanswered tries again after five."""
KNOCKED = 1.0
"""The same for a device that was heard before its window."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with opened_site() as made:
        yield made


def test_nothing_before_the_profile_during_and_nothing_after(site: Site) -> None:
    device = site.lab.device("10.99.0.11")
    made = site.cli(
        *("peers", "create", device.public_key, "--name", "phone", "--user", "ada", "--profile", "mgmt"),
        *("--address", device.address, "--preshared-key"),
    )
    assert made["config"]["allowed_ips"] == ["10.60.10.0/24"]
    assert made["config"]["gateway_public_key"] == parse_public_key(site.key)
    device.point_to(site.key, 51820, preshared=made["config"]["preshared_key"])
    assert not device.reaches()
    (request,) = site.server.cli("access", "list")
    site.server.cli("access", "approve", request["id"], "--as", "bob")
    eventually(device.reaches, "an answer through the tunnel", within=KNOCKED)
    assert not device.reaches(MANAGED, CLOSED_PORT)
    assert not device.reaches(OTHER, ALLOWED_PORT)
    eventually(lambda: site.peer("phone")["connected"], "the handshake to be seen", within=20)
    site.server.cli("access", "revoke", request["id"], "--as", "bob")
    began = time.monotonic()
    eventually(lambda: not device.reaches(within=0.1), "the end", within=1.0, every=0.01)
    assert time.monotonic() - began < 1.0
    assert site.peer("phone")["state"] == "waiting"


def test_a_key_is_replaced_on_both_sides(site: Site) -> None:
    device = site.lab.device("10.99.0.12")
    standing = ("--service", "printer", "--permanent", "--reason", "test", "--profile", "mgmt")
    site.cli(
        "peers", "create", device.public_key, "--name", "printer", "--address", device.address, *standing
    )
    device.point_to(site.key, 51820)
    eventually(device.reaches, "an answer through the tunnel", within=FIRST_HANDSHAKE)
    private, public = key_pair()
    site.cli("peers", "rotate", "printer", public, "--overlap", "1h")
    assert device.reaches()
    device.use_key(private)
    device.point_to(site.key, 51820)
    eventually(device.reaches, "an answer with the new key", within=FIRST_HANDSHAKE)
    site.cli("gateways", "rotate-key", "gw", "--overlap", "1h")
    assert device.reaches()

    def second() -> str | None:
        keys = site.cli("gateways", "show", "gw")["keys"]
        return keys[1]["public_key"] or None

    device.point_to(eventually(second, "the gateway's second key"), 51821)
    eventually(device.reaches, "an answer from the second interface", within=FIRST_HANDSHAKE)
    site.cli("peers", "revoke", "printer")
    eventually(lambda: not device.reaches(within=0.1), "the end", within=1.0, every=0.01)


def test_a_peer_added_by_hand_goes_and_is_told_of(site: Site) -> None:
    _, public = key_pair()
    interface = f"{site.lab.name}wgcoord0"
    site.lab.on_gateway("wg", "set", interface, "peer", public, "allowed-ips", "10.99.0.200/32")

    def told() -> bool:
        alerts = site.server.cli("audit", "list", "--action", "wireguard.alert")
        return any(public in str(entry) for entry in alerts)

    eventually(told, "the alert", within=20)
    assert public not in site.lab.on_gateway("wg", "show", interface, "peers")


def test_who_knocks_without_a_window_is_told_of(site: Site) -> None:
    waiting, stranger = site.lab.device("10.99.0.15"), site.lab.device("10.99.0.16")
    site.cli(
        *("peers", "create", waiting.public_key, "--name", "early", "--user", "ada", "--profile", "mgmt"),
        *("--address", waiting.address),
    )
    key = site.cli("gateways", "show", "gw")["keys"][-1]
    for device in (waiting, stranger):
        device.point_to(key["public_key"], key["listen_port"])
        assert not device.reaches()

    def told(kind: str, public_key: str) -> list[Any]:
        alerts = site.server.cli("audit", "list", "--action", "wireguard.alert")
        return [each for each in alerts if kind in str(each) and public_key in str(each)]

    eventually(lambda: told("outside-window", waiting.public_key), "the alert", within=20)
    (alert,) = told("unknown-key", stranger.public_key)
    assert stranger.host.address in str(alert)
    knocking = site.peer("early")["knocking"]
    assert knocking["endpoint"].startswith(f"{waiting.host.address}:")
    for command in (("show", "early"), ("list",)):
        assert "knocking since" in site.server.run("wireguard", "peers", *command).stdout
    # It keeps trying, and that is one episode.
    waiting.reaches()
    time.sleep(12)
    assert len(told("outside-window", waiting.public_key)) == 1
    (asked,) = site.server.cli("access", "list", "--state", "requested")
    site.server.cli("access", "approve", asked["id"], "--as", "bob")
    eventually(lambda: waiting.reaches(within=0.05), "the window", within=KNOCKED, every=0.005)
    assert site.peer("early")["knocking"] is None
    site.server.cli("access", "revoke", asked["id"], "--as", "bob")


def test_a_restart_of_the_server_leaves_sessions_alone(site: Site) -> None:
    device = site.lab.device("10.99.0.13")
    standing = ("--service", "camera", "--permanent", "--reason", "test", "--profile", "mgmt")
    site.cli("peers", "create", device.public_key, "--name", "camera", "--address", device.address, *standing)
    key = site.cli("gateways", "show", "gw")["keys"][-1]
    device.point_to(key["public_key"], key["listen_port"])
    eventually(device.reaches, "an answer through the tunnel", within=FIRST_HANDSHAKE)
    site.server.kill9()
    assert device.reaches()
    site.server.start()
    assert device.reaches()
    eventually(lambda: site.cli("gateways", "show", "gw")["in_step"], "the gateway to be back", within=20)
    site.cli("peers", "revoke", "camera")
    eventually(lambda: not device.reaches(within=0.1), "the end", within=1.0, every=0.01)


WINDOWS = int(os.environ.get("WINDOWS", "5"))


def test_windows_open_and_close_on_the_gateway_within_a_second(site: Site) -> None:
    """With WINDOWS=50 the figures are worth telling."""
    device = site.lab.device("10.99.0.14")
    made = site.cli(
        *("peers", "create", device.public_key, "--name", "often", "--user", "ada", "--profile", "mgmt"),
        *("--address", device.address),
    )
    assert made["peer"]["state"] == "waiting"
    (asked,) = site.server.cli("access", "list", "--state", "requested")
    site.server.cli("access", "deny", asked["id"], "--as", "bob")
    key = site.cli("gateways", "show", "gw")["keys"][-1]
    opening, closing = [], []
    for _ in range(WINDOWS):
        asked = site.server.cli("access", "request", "mgmt", "--user", "ada", "--for", "1h")
        # As people do: the app is on while they wait, with no session of an earlier window.
        device.point_to(key["public_key"], key["listen_port"])
        with Pinging(device) as pinging:
            time.sleep(0.2)
            assert not pinging.answered
            approved = site.server.cli("access", "approve", asked["id"], "--as", "bob")
            eventually(lambda: pinging.answered, "the window", within=FIRST_HANDSHAKE, every=0.005)
            opening.append(pinging.answered[0] - datetime.fromisoformat(approved["opens_at"]).timestamp())
        site.server.cli("access", "revoke", asked["id"], "--as", "bob")
        began = time.monotonic()
        eventually(lambda: not device.reaches(within=0.05), "its end", within=2, every=0.005)
        closing.append(time.monotonic() - began)
    print("approved until an answer, revoked until none:", figures(opening), figures(closing))
    assert max(opening) < 1, opening
    assert max(closing) < 1, closing


def figures(took: list[float]) -> str:
    ordered = sorted(took)
    return f"median {ordered[len(took) // 2] * 1000:.0f} ms, longest {ordered[-1] * 1000:.0f} ms"
