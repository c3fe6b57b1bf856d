"""A server, and a whole machine as its gateway that Ansible set up: what config/ansible says, done.

`coordinator` is this machine, with a command of that name that knows the server's configuration; `gw` is
the machine, by ssh.
"""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.support import ansible
from tests.support.machine_image import ROOT
from tests.support.machine_lab import MachineLab
from tests.support.server_process import PROGRAM, Server
from tests.support.waiting import eventually
from tests.support.wireguard_site import POLICY

UNIT = "coordinator-gateway"
INTERFACE = "wgcoord0"
PLAYBOOK = ROOT / "config" / "ansible" / "wireguard.yaml"


class MachineSite:
    """The server is started at once; the machine is on, and untouched until `play`."""

    def __init__(self, lab: MachineLab) -> None:
        self.lab = lab
        self.folder = lab.folder / "site"
        self.folder.mkdir()
        self.server = Server(folder=self.folder, address=lab.bridge.server_address(), policy=POLICY)
        self.server.start()
        for name in ("ada", "bob"):
            self.server.create_user(name)
        self.declared: dict[str, Any] = {
            "gateways": [{"name": "gw", "host": lab.gateway.address, "pools": ["10.99.0.0/20"]}],
            "peers": [],
        }
        self._write_command()
        self._write_inventory()

    def cli(self, *arguments: str) -> Any:
        """A `wireguard` command on the server."""
        return self.server.cli("wireguard", *arguments)

    def declare(self, *peers: dict[str, Any]) -> None:
        """Write the declaration with other peers."""
        self.declared["peers"] = list(peers)
        (self.folder / "declared.yaml").write_text(yaml.safe_dump(self.declared))

    def play(self, *options: str) -> dict[str, dict[str, int]]:
        """The playbook on both hosts; returns how many tasks changed something and so on, by host."""
        return ansible.play(
            PLAYBOOK,
            self.folder / "inventory.yaml",
            *options,
            path=self.folder / "bin",
            folder=self.folder / "ansible",
            timeout=self.lab.boot_seconds * 4,
        )

    def alerts(self) -> str:
        """All alerts so far."""
        return json.dumps(self.server.cli("audit", "list", "--action", "wireguard.alert"))

    def key(self) -> str:
        """The gateway's public key, as soon as it is reported."""

        def reported() -> str | None:
            key: str = self.cli("gateways", "show", "gw")["keys"][-1]["public_key"]
            return key or None

        return eventually(reported, "the gateway's key", within=self.lab.boot_seconds, every=0.5)

    def admitted(self) -> set[str]:
        """The keys on the machine's interface; none without it."""
        return set(self.lab.on_gateway("sh", "-c", f"wg show {INTERFACE} peers || true").split())

    def in_contact(self) -> bool:
        """Whether the service has spoken with the server since it was last started."""
        run = self.lab.on_gateway("systemctl", "show", "--value", "-p", "InvocationID", UNIT).strip()
        return "in contact" in self.lab.on_gateway("journalctl", "-q", f"_SYSTEMD_INVOCATION_ID={run}")

    def cpu_seconds(self) -> float:
        """What the service and all it called have used since it was started."""
        shown = self.lab.on_gateway("systemctl", "show", "--value", "-p", "CPUUsageNSec", UNIT)
        return int(shown) / 1e9

    def _write_command(self) -> None:
        (self.folder / "bin").mkdir()
        command = self.folder / "bin" / "coordinator"
        words = shlex.join((str(PROGRAM), "-c", str(self.server.config_path)))
        command.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        command.chmod(0o755)

    def _write_inventory(self) -> None:
        lab = self.lab
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        there = {
            "ansible_host": lab.gateway.address,
            "ansible_user": "root",
            "ansible_ssh_common_args": shlex.join(lab.ssh_options),
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        inventory = {
            "coordinator": {
                "hosts": {"here": here},
                "vars": {"wireguard_declaration": str(self.folder / "declared.yaml")},
            },
            "wireguard_gateways": {
                "hosts": {"gw": there},
                "vars": {"coordinator_url": self.server.url, "coordinator_wheel": str(self._wheel())},
            },
        }
        (self.folder / "inventory.yaml").write_text(yaml.safe_dump(inventory))

    def _wheel(self) -> Path:
        """The project as it is now, built from a copy so that the tree stays as it was."""
        tree, made = self.folder / "tree", self.folder / "wheel"
        tree.mkdir()
        for name in ("acl", "derp", "coordinator"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, tree)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
        done = subprocess.run(
            [*pip, "--no-deps", "--no-build-isolation", "-w", str(made), str(tree)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"the wheel could not be built: {done.stderr}"
        return next(made.glob("*.whl"))
