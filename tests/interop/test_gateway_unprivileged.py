"""The program as a user with one capability, and the unit that runs it so."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.prerequisites import require
from tests.support.waiting import eventually
from tests.support.wireguard_lab import MANAGED, OTHER, WireguardLab, missing_for_wireguard

UNIT = Path(__file__).parents[2] / "config" / "coordinator-gateway.service"
USER = "61184"
# What wireguard-go needs of a machine, given to that user alone: the device, and a folder for its socket.
ENTER = (
    "set -e; mkdir -p /run/wireguard; mount -t tmpfs -o mode=0700,uid=$1 none /run/wireguard; "
    'mknod -m 0666 "$2" c 10 200; mount --bind "$2" /dev/net/tun; user=$1; shift 2; '
    "exec setpriv --reuid $user --regid $user --clear-groups --no-new-privs --bounding-set -all,+net_admin "
    '--inh-caps -all,+net_admin --ambient-caps -all,+net_admin "$@"'
)


@pytest.fixture
def lab() -> Iterator[WireguardLab]:
    require(missing_for_wireguard(), "tests of WireGuard gateways")
    with WireguardLab() as lab:
        yield lab
        print(lab.program.log_tail())


def test_one_capability_is_enough(lab: WireguardLab) -> None:
    lab.folder.chmod(0o711)
    (lab.folder / "token").chmod(0o644)
    lab.state.mkdir(mode=0o700)
    os.chown(lab.state, int(USER), int(USER))
    device = lab.device()
    lab.server.wish(interfaces=(lab.interface(),))
    inside = ["ip", "netns", "exec", lab.gateway_namespace, "sh", "-c", ENTER, "enter", USER]
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    lab.program.start([*inside, str(lab.folder / "tun"), *lab.command()], env=environment)
    device.point_to(lab.gateway_key(), 51820)
    assert not device.reaches()
    eventually(lambda: any(made.knocks for made in lab.server.reports), "the knock to be heard")
    lab.server.wish(peers=(lab.wished(device),))
    eventually(device.reaches, "an answer to who knocked before", within=1.0, every=0.01)
    assert device.reaches(MANAGED)
    assert not device.reaches(OTHER)
    status = Path(f"/proc/{lab.program.pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert fields["Uid"].split() == [USER] * 4
    assert {fields[name] for name in ("CapEff", "CapBnd", "CapAmb")} == {f"{1 << 12:016x}"}
    lab.server.wish(peers=())
    eventually(lambda: not device.reaches(within=0.1), "the device shut out")
    assert lab.server.kinds() == []


def test_the_unit_is_understood_and_hardened() -> None:
    if shutil.which("systemd-analyze") is None:
        require(["no `systemd-analyze` command"], "the check of the systemd unit")
    text = UNIT.read_text()
    assert "AmbientCapabilities=CAP_NET_ADMIN\n" in text
    assert "CapabilityBoundingSet=CAP_NET_ADMIN\n" in text
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
