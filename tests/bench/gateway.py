"""A gateway with many peers: provisioning all of them, one change, doing nothing, starting again. Needs root.

    python -m tests.bench.gateway [--peers 1000] [--profiles 10]

Times are from the wish leaving the server until its version is reported back as in force. CPU is that of
the program and the commands it ran; wireguard-go is listed apart, it does the work of a kernel.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from coordinator.wireguard.wire import Rule, WishedPeer
from tests.support.waiting import eventually
from tests.support.wireguard_lab import WireguardLab, key_pair

FEW = 10
SECONDS = 20.0
"""How long nothing is done where that is measured."""
_TICKS = os.sysconf("SC_CLK_TCK")


def make_peers(lab: WireguardLab, count: int, profiles: int) -> tuple[WishedPeer, ...]:
    """Peers with two addresses each; the rules of each profile name other ports."""
    template = lab.wished(lab.device(), closes=86400)
    rules = [
        (
            Rule(
                networks=("10.60.10.0/24", "fd60::/64"), proto="tcp", ports=((22, 22), (8000 + n, 8000 + n))
            ),
            Rule(networks=("10.60.20.0/24",), proto="udp", ports=((53, 53),)),
        )
        for n in range(profiles)
    ]
    return tuple(
        msgspec.structs.replace(
            template,
            public_key=key_pair()[1],
            device=f"device {number}",
            name=f"laptop {number}",
            allowed_ips=(f"10.99.{number // 250}.{number % 250 + 2}/32", f"fd99::{number:x}/128"),
            rules=rules[number % profiles],
        )
        for number in range(count)
    )


def cpu(pid: int) -> float:
    """Seconds of a process and of the children it waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS


def memory(pid: int) -> str:
    """Resident, now and at most so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    now, most = (
        int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024
        for name in ("VmRSS", "VmHWM")
    )
    return f"{now:.1f} MB resident ({most:.1f} at most)"


def wireguard_go(lab: WireguardLab) -> int | None:
    """Its pid; None where the kernel has WireGuard."""
    for pid in lab.on_gateway("ip", "netns", "pids", lab.gateway_namespace).split():
        if Path(f"/proc/{pid}/comm").read_text().startswith("wireguard-go"):
            return int(pid)
    return None


def measured(lab: WireguardLab, what: str, change: Callable[[], str | None], runs: int = 1) -> None:
    """Print what a change costs, as the median of some runs."""
    times, busy = [], []
    other = wireguard_go(lab)
    before_other = cpu(other) if other is not None else 0.0
    for _ in range(runs):
        lab.server.reports.clear()
        before, started = cpu(lab.program.pid), time.perf_counter()
        version = change()
        if version is None:
            continue
        eventually(
            lambda wanted=version: any(report.version == wanted for report in lab.server.reports),
            what,
            within=120,
            every=0.002,
        )
        times.append(time.perf_counter() - started)
        busy.append(cpu(lab.program.pid) - before)
    tunnel = (cpu(other) - before_other) / runs if other is not None else 0.0
    middle = runs // 2
    print(
        f"{what:<42} {sorted(times)[middle] * 1000:8.0f} ms   CPU {sorted(busy)[middle] * 1000:6.0f} ms"
        f"   wireguard-go {tunnel * 1000:5.0f} ms"
    )


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--profiles", type=int, default=10)
    options = parser.parse_args()
    print(f"{options.peers} peers, {options.profiles} profiles; Python {platform.python_version()}, ", end="")
    print(f"Linux {platform.release()}, {os.cpu_count()} cores")
    with WireguardLab() as lab:
        lab.server.report_seconds = 10
        interface = msgspec.structs.replace(lab.interface(), addresses=("10.99.0.1/16", "fd99::ffff/64"))
        lab.on_gateway("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        lab.server.wish(interfaces=(interface,))
        lab.start()
        lab.gateway_key()
        peers = make_peers(lab, options.peers, options.profiles)
        few = peers[:FEW]
        lab.settled(lab.server.wish(peers=few))
        time.sleep(SECONDS)
        print(f"{f'{len(few)} peers, watching':<42} {memory(lab.program.pid)}")
        lab.settled(lab.server.wish(peers=()))
        measured(lab, f"0 -> {len(peers)} peers", lambda: lab.server.wish(peers=peers))
        turn = iter(range(1_000_000))

        def one_more_or_less() -> str:
            return lab.server.wish(peers=peers[: -1 if next(turn) % 2 == 0 else None])

        def another_profile() -> str:
            rules = peers[next(turn) % 2].rules
            return lab.server.wish(peers=(msgspec.structs.replace(peers[0], rules=rules), *peers[1:]))

        measured(lab, "one peer less or more", one_more_or_less, runs=21)
        measured(lab, "one peer with other rules", another_profile, runs=21)
        lab.settled(lab.server.wish(peers=peers))
        before = cpu(lab.program.pid)
        time.sleep(SECONDS)
        share = (cpu(lab.program.pid) - before) / SECONDS * 100
        print(f"nothing to do, watching: {share:.1f} % of a core, {memory(lab.program.pid)}")
        lab.program.kill()
        lab.server.reports.clear()
        started = time.perf_counter()
        lab.start()
        version = str(lab.server.version)
        eventually(
            lambda: any(report.version == version for report in lab.server.reports), "a start", within=120
        )
        took, busy = time.perf_counter() - started, cpu(lab.program.pid)
        print(f"{'started again, everything there':<42} {took * 1000:8.0f} ms   CPU {busy * 1000:6.0f} ms")
        lab.reboot()
        lab.server.reports.clear()
        started = time.perf_counter()
        lab.start()
        eventually(lambda: len(lab.peers()) == len(peers), "everything after a reboot", within=120)
        took, busy = time.perf_counter() - started, cpu(lab.program.pid)
        what = "started after a reboot, all provisioned"
        print(f"{what:<42} {took * 1000:8.0f} ms   CPU {busy * 1000:6.0f} ms   {memory(lab.program.pid)}")
        measured(lab, f"{len(peers)} -> 0 peers", lambda: lab.server.wish(peers=()))


if __name__ == "__main__":
    main()
