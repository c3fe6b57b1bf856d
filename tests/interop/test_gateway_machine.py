"""A gateway as it will stand somewhere: Debian, systemd, the unit, the kernel's WireGuard, set up by Ansible.

The tests go on from each other: set up, looked at, used, rebooted, disturbed, and loaded at the end.
"""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.machine_image import require_machine
from tests.support.machine_lab import MachineLab
from tests.support.machine_site import INTERFACE, PLAYBOOK, UNIT, MachineSite
from tests.support.waiting import eventually
from tests.support.wireguard_lab import ALLOWED_PORT, CLOSED_PORT, MANAGED, OTHER, Device, key_pair

FIRST_HANDSHAKE = 12.0
"""Seconds: a device whose first packet went unanswered tries again after five."""
WINDOWS = 5
PEERS = 1000
STANDING = {"service": "test", "profile": "mgmt", "permanent": True, "reason": "test"}


@pytest.fixture(scope="module")
def site() -> Iterator[MachineSite]:
    """A machine that the playbook was run on once, with one peer that stays."""
    with MachineLab(require_machine()) as lab:
        began = time.monotonic()
        lab.start()
        booted = time.monotonic()
        site = MachineSite(lab)
        try:
            site.declare()
            recap = site.play()
            print(
                f"{lab.accelerator}: on after {booted - began:.0f} s, "
                f"set up in {time.monotonic() - booted:.0f} s: {recap}"
            )
            yield site
        finally:
            print(lab.log_tail())
            site.server.stop()


@pytest.fixture(scope="module")
def standing(site: MachineSite) -> Device:
    """A device whose peer is declared and permanent."""
    device = site.lab.device("10.99.0.11")
    peer = {"name": "standing", "publicKey": device.public_key, "gateway": "gw", **STANDING}
    site.declare(peer | {"addresses": [device.address]})
    device.point_to(site.key(), 51820)
    return device


def test_a_second_run_brings_the_new_peer_and_a_third_nothing(site: MachineSite, standing: Device) -> None:
    assert site.play("-l", "coordinator", "--check")["here"]["changed"] == 1
    assert not standing.reaches()
    recap = site.play()
    assert recap["here"]["changed"] == 2, recap
    assert recap["gw"]["changed"] == 0, recap
    eventually(standing.reaches, "an answer through the tunnel", within=FIRST_HANDSHAKE)
    assert site.play("-l", "coordinator")["here"]["changed"] == 0


def test_the_service_has_one_capability_and_no_name_of_root(site: MachineSite) -> None:
    pid = site.lab.on_gateway("systemctl", "show", "--value", "-p", "MainPID", UNIT).strip()
    status = site.lab.on_gateway("cat", f"/proc/{pid}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    (uid,) = set(fields["Uid"].split())
    assert 61184 <= int(uid) <= 65519, "not one of the dynamic users"
    assert {fields[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {f"{1 << 12:016x}"}
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    listed = site.lab.on_gateway("systemd-analyze", "security", "--no-pager", f"{UNIT}.service")
    found = re.search(r"Overall exposure level for .*: ([0-9.]+) ", listed)
    assert found, listed
    print(f"systemd-analyze security: {found[1]}")
    assert float(found[1]) < 2.5


def test_the_kernel_does_it(site: MachineSite, standing: Device) -> None:
    link = site.lab.on_gateway("ip", "-details", "link", "show", INTERFACE)
    assert " wireguard " in link, link
    assert site.lab.on_gateway("sh", "-c", "pgrep wireguard-go || true") == ""
    assert "wireguard" in site.lab.on_gateway("lsmod")
    assert standing.public_key in site.admitted()
    assert site.lab.on_gateway("sysctl", "-n", "net.ipv4.ip_forward").strip() == "1"


def test_what_is_allowed_passes_and_nothing_else(standing: Device) -> None:
    assert standing.reaches(MANAGED, ALLOWED_PORT, within=2)
    assert not standing.reaches(MANAGED, CLOSED_PORT)
    assert not standing.reaches(OTHER, ALLOWED_PORT)
    assert not standing.connects(MANAGED, ALLOWED_PORT)


def test_windows_open_and_close(site: MachineSite) -> None:
    device = site.lab.device("10.99.0.12")
    peer = ("peers", "create", device.public_key, "--name", "often", "--user", "ada", "--profile", "mgmt")
    site.cli(*peer, "--address", device.address)
    (asked,) = site.server.cli("access", "list", "--state", "requested")
    site.server.cli("access", "deny", asked["id"], "--as", "bob")
    opening, closing, key = [], [], site.key()
    for _ in range(WINDOWS):
        asked = site.server.cli("access", "request", "mgmt", "--user", "ada", "--for", "1h")
        began = time.monotonic()
        site.server.cli("access", "approve", asked["id"], "--as", "bob")

        def answered() -> bool:
            # A device that knocks before the gateway knows it tries again only after five seconds.
            device.point_to(key, 51820)
            return device.reaches(within=0.2)

        eventually(answered, "the window", within=FIRST_HANDSHAKE, every=0.005)
        opening.append(time.monotonic() - began)
        began = time.monotonic()
        site.server.cli("access", "revoke", asked["id"], "--as", "bob")
        eventually(lambda: not device.reaches(within=0.2), "its end", within=FIRST_HANDSHAKE, every=0.005)
        closing.append(time.monotonic() - began)
    print("`access approve` begun until an answer:", _figures(opening))
    print("`access revoke` begun until none, 200 ms of it the last wait:", _figures(closing))


def test_a_reboot_without_a_server_opens_what_is_open_and_nothing_else(
    site: MachineSite, standing: Device
) -> None:
    ending = site.lab.device("10.99.0.13")
    end = datetime.now(UTC) + timedelta(seconds=10 if site.lab.accelerator == "kvm" else 25)
    site.cli(
        *("peers", "create", ending.public_key, "--name", "ending", "--service", "test", "--profile", "mgmt"),
        *("--address", ending.address, "--until", end.isoformat(), "--reason", "test"),
    )
    eventually(lambda: ending.public_key in site.admitted(), "the key", within=FIRST_HANDSHAKE)
    ending.point_to(site.key(), 51820)
    eventually(ending.reaches, "an answer through the tunnel", within=FIRST_HANDSHAKE)
    before = site.lab.boot_id()
    site.server.kill9()
    began = time.monotonic()
    site.lab.shut_down()
    uptime = site.lab.rebooted(before)
    ssh = time.monotonic() - began
    eventually(standing.reaches, "an answer after the reboot", within=site.lab.boot_seconds)
    packet = time.monotonic() - began
    print(f"reboot asked for until ssh: {ssh:.0f} s (up {uptime:.0f} s), until a packet: {packet:.0f} s")
    # Nothing to wait for where the boot took longer, as it does under emulation.
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds() + 1))
    assert site.admitted() == {standing.public_key}
    assert not ending.reaches()
    assert not standing.reaches(MANAGED, CLOSED_PORT)
    site.server.start()
    eventually(lambda: site.cli("gateways", "show", "gw")["in_step"], "the gateway to be back", within=60)


def test_a_wrong_clock_is_reported(site: MachineSite, standing: Device) -> None:
    assert "clock" not in site.alerts()
    site.lab.on_gateway("date", "-s", "+10 minutes")
    try:
        eventually(lambda: "clock" in site.alerts(), "the alert", within=90, every=0.5)
        assert standing.reaches(within=2)
    finally:
        site.lab.on_gateway("date", "-s", "-10 minutes")


def test_another_token_reaches_the_service(site: MachineSite) -> None:
    recap = site.play("--tags", "token", "-e", "rotate_tokens=true")
    assert recap["gw"]["changed"] == 3, recap
    eventually(site.in_contact, "the service to be in contact", within=60, every=0.5)


def test_a_thousand_peers(site: MachineSite, standing: Device) -> None:
    many = [
        {"name": f"p{number}", "publicKey": key_pair()[1], "gateway": "gw", **STANDING}
        for number in range(PEERS)
    ]
    site.declare(*site.declared["peers"], *many)
    site.cli("apply", str(site.folder / "declared.yaml"))
    began, used = time.monotonic(), site.cpu_seconds()
    eventually(lambda: len(site.admitted()) > PEERS, "all peers", within=site.lab.boot_seconds, every=0.2)
    took = time.monotonic() - began
    eventually(lambda: site.cli("gateways", "show", "gw")["in_step"], "the report", within=60)
    print(f"{site.lab.accelerator}: {PEERS} peers in {took:.1f} s, {site.cpu_seconds() - used:.1f} s of CPU")
    idle = site.cpu_seconds()
    time.sleep(5)
    print(f"then {(site.cpu_seconds() - idle) / 5:.2f} s of CPU a second")
    assert standing.reaches(within=2)


def test_the_playbook_names_files_that_exist() -> None:
    text = PLAYBOOK.read_text()
    for name in re.findall(r"src: (\.\./\S+)", text):
        assert Path(PLAYBOOK.parent, name).is_file()


def _figures(took: list[float]) -> str:
    ordered = sorted(took)
    return f"median {ordered[len(took) // 2] * 1000:.0f} ms, longest {ordered[-1] * 1000:.0f} ms"
