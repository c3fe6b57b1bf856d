"""A WireGuard lab whose gateway follows a real server, and the policy most of its tests want."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.prerequisites import require
from tests.support.server_process import Server
from tests.support.waiting import eventually
from tests.support.wireguard_lab import ALLOWED_PORT, WireguardLab, missing_for_wireguard

POLICY: dict[str, Any] = {
    "acls": [],
    "access": {
        "profiles": {
            "mgmt": {
                "src": ["ada@"],
                "dst": [f"10.60.10.0/24:{ALLOWED_PORT}"],
                "proto": "udp",
                "approvers": ["bob@"],
                "maxDuration": "4h",
            }
        }
    },
}
"""Ada may ask for the allowed port of the management network, and bob says yes."""


class Site:
    """A lab whose gateway follows a real server."""

    def __init__(self, lab: WireguardLab) -> None:
        self.lab = lab
        folder = lab.folder / "server"
        folder.mkdir()
        self.server = Server(folder=folder, address=lab.bridge.server_address(), policy=POLICY)
        self.server.start()
        for name in ("ada", "bob"):
            self.server.create_user(name)
        made = self.cli("gateways", "create", "gw", "--host", lab.gateway.address, "--pool", "10.99.0.0/24")
        (lab.folder / "token").write_text(made["token"])
        command = lab.command("--interface-prefix", lab.name)
        command[command.index("--server") + 1] = self.server.url
        lab.program.start([*lab.gateway.prefix, *command], env=os.environ)
        self.key = eventually(self._key, "the gateway's key")

    def cli(self, *arguments: str) -> Any:
        return self.server.cli("wireguard", *arguments)

    def _key(self) -> str | None:
        key: str = self.cli("gateways", "show", "gw")["keys"][-1]["public_key"]
        return key or None

    def peer(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.cli("peers", "show", name)
        return found


@contextmanager
def opened_site() -> Iterator[Site]:
    """A site, for as long as a block lasts."""
    require(missing_for_wireguard(), "tests of WireGuard gateways")
    with WireguardLab() as lab:
        made = Site(lab)
        yield made
        print(lab.program.log_tail())
        lab.program.kill()
        made.server.stop()
