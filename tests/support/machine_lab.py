"""The lab of tests.support.wireguard_lab with a whole machine as its gateway: qemu, Debian, systemd.

The gateway's namespace becomes the cables of the machine: its first network card has the gateway's address
on the lab's bridge, the second one 10.60.10.1 and 10.60.20.1 before the management network. Nothing runs on
the machine that did not come from its image or by ssh.
"""

import os
import shlex
import subprocess
from pathlib import Path
from typing import Self

from tests.support.child_process import ChildProcess
from tests.support.machine_image import QEMU, MachineImage, accelerator
from tests.support.waiting import eventually
from tests.support.wireguard_lab import WireguardLab, run

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class MachineLab(WireguardLab):
    """As its base; `on_gateway` speaks to the machine, `start` switches it on."""

    def __init__(self, image: MachineImage) -> None:
        super().__init__()
        self.image = image
        self.accelerator = accelerator()
        self.machine = ChildProcess(name="machine", log_path=self.folder / "qemu.log")
        self.console = self.folder / "console"
        self._undo.callback(self.machine.kill)
        self._undo.callback(self._hang_up)

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self._plug_in()
        except BaseException:
            self._undo.close()
            raise
        return self

    @property
    def boot_seconds(self) -> float:
        """How long the machine may take from power to ssh."""
        return 60 if self.accelerator == "kvm" else 240

    @property
    def ssh_options(self) -> tuple[str, ...]:
        """For ssh, and for what calls it: how root of the machine is reached, over one connection."""
        return (
            *("-i", str(self.image.key), "-o", "StrictHostKeyChecking=accept-new"),
            *("-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}", "-o", "BatchMode=yes"),
            *("-o", "ControlMaster=auto", "-o", "ControlPersist=300", "-o", f"ControlPath={self.folder}/ssh"),
            *("-o", "ConnectTimeout=5", "-o", "ServerAliveInterval=5", "-o", "LogLevel=ERROR"),
        )

    def start(self) -> None:
        """Switch the machine on and wait until ssh answers. Its disk forgets everything with the lab."""
        gateway, card = self.gateway, "virtio-net-pci,romfile="
        addresses = (
            f"ip={gateway.address}::{gateway.gateway}:255.255.255.0::eth0:none "
            "ip=10.60.10.1:::255.255.255.0::eth1:none ip=10.60.20.1:::255.255.255.0::eth1:none"
        )
        hardware = ["-accel", "kvm", "-cpu", "host"]
        if self.accelerator == "tcg":
            hardware = ["-accel", "tcg,thread=multi", "-cpu", "max"]
        command = [
            *("ip", "netns", "exec", self.gateway_namespace, QEMU, *hardware, "-M", "q35", "-smp", "2"),
            *("-m", "768", "-nodefaults", "-display", "none", "-serial", f"file:{self.console}"),
            *("-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd)),
            *("-append", f"console=ttyS0 root=/dev/vda rw net.ifnames=0 mitigations=off {addresses}"),
            *("-drive", f"file={self.image.disk},format=raw,if=virtio,snapshot=on"),
            *("-netdev", "tap,id=wan,ifname=tapw,script=no,downscript=no", "-device", f"{card},netdev=wan"),
            *("-netdev", "tap,id=lan,ifname=tapl,script=no,downscript=no", "-device", f"{card},netdev=lan"),
        ]
        self.machine.start(command, env={**os.environ, "TMPDIR": str(self.folder)})
        self._answering()

    def on_gateway(self, *command: str, stdin: str = "") -> str:
        """A command on the machine, as root."""
        done = self._ssh(shlex.join(command), stdin=stdin)
        assert done.returncode == 0, f"`{' '.join(command[:8])}` failed: {done.stderr.strip()}"
        return done.stdout

    def reboot(self) -> float:
        """A reboot from inside, until ssh answers again.

        Returns:
            The seconds that systemd says passed until everything was started, of the new boot.
        """
        before = self.on_gateway("cat", _BOOT_ID)
        self.shut_down()
        return self.rebooted(before)

    def shut_down(self) -> None:
        """Ask for a reboot; the connection is lost meanwhile."""
        self._ssh("systemctl reboot")
        self._hang_up()

    def boot_id(self) -> str:
        """Another one after every boot."""
        return self.on_gateway("cat", _BOOT_ID)

    def rebooted(self, before: str) -> float:
        """Wait until ssh answers in a boot other than that one; returns the machine's uptime in seconds."""

        def again() -> bool:
            done = self._ssh(f"cat {_BOOT_ID}")
            if done.returncode != 0 or done.stdout == before:
                self._hang_up()
                return False
            return True

        eventually(again, "the machine to be back", within=self.boot_seconds, every=0.5)
        return float(self.on_gateway("cat", "/proc/uptime").split()[0])

    def log_tail(self, lines: int = 60) -> str:
        """What the machine's service and its console said last."""
        journal = self._ssh(f"journalctl -q --no-pager -b -u coordinator-gateway -n {lines}").stdout
        console = Path(self.console)
        text = console.read_text(errors="replace") if console.exists() else ""
        return "\n".join((journal, self.machine.log_tail(10), *text.splitlines()[-20:]))

    def _plug_in(self) -> None:
        """Bridges between the machine's cards and the interfaces that the namespace had until now."""
        inside = ("ip", "-n", self.gateway_namespace)
        for bridge, inner, card in (("wan", "eth0", "tapw"), ("lan", "lan0", "tapl")):
            run(*inside, "address", "flush", "dev", inner)
            run(*inside, "link", "add", bridge, "type", "bridge")
            run(*inside, "tuntap", "add", "dev", card, "mode", "tap")
            for link in (inner, card):
                run(*inside, "link", "set", link, "master", bridge, "up")
            run(*inside, "link", "set", bridge, "up")

    def _answering(self) -> None:
        def probe() -> bool:
            assert self.machine.running, f"the machine went off: {self.log_tail()}"
            return self._ssh("true").returncode == 0

        eventually(probe, "the machine to answer", within=self.boot_seconds, every=0.5)

    def _ssh(self, command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ssh", *self.ssh_options, f"root@{self.gateway.address}", command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=self.boot_seconds,
            check=False,
        )

    def _hang_up(self) -> None:
        """End the shared connection; the next command makes another."""
        subprocess.run(
            ["ssh", *self.ssh_options, "-O", "exit", f"root@{self.gateway.address}"],
            capture_output=True,
            timeout=30,
            check=False,
        )
