"""A gateway that is a node of the tailnet: plain peers and stock clients meet as the policy says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.support import clients
from tests.support.prerequisites import missing_for_interop, require
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually, holds
from tests.support.wireguard_lab import Device, Flow, WireguardLab, in_namespace, missing_for_wireguard

POOL = "10.99.0.0/24"
OPEN, CLOSED, BACK = 8080, 9090, 7070
SECTIONS: dict[str, Any] = {
    "tagOwners": {"tag:gw": [], "tag:web": []},
    "autoApprovers": {"routes": {POOL: ["tag:gw"]}},
}
RULES = [
    {"action": "accept", "src": ["wg:phone"], "dst": [f"tag:web:{OPEN}"], "proto": "udp"},
    {"action": "accept", "src": ["tag:web"], "dst": [f"wg:phone:{BACK}"], "proto": "udp"},
]


def policy(rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {**SECTIONS, "acls": rules}


class Place:
    """A lab whose gateway runs a stock client beside the gateway program, and a machine of the tailnet."""

    def __init__(self, lab: WireguardLab) -> None:
        self.lab = lab
        folder = lab.folder / "server"
        folder.mkdir()
        self.server = Server(folder=folder, address=lab.bridge.server_address(), policy=policy([]))
        self.server.start()
        self.gateway = self._client("gw", lab.gateway)
        self.web = self._client("web", lab._host("web"))
        self.gateway.up(
            self._key("tag:gw"), f"--advertise-routes={POOL}", "--advertise-tags=tag:gw", "--accept-routes"
        )
        self.web.up(self._key("tag:web"), "--accept-routes")
        self.namespace = f"{lab.bridge.name}-web"
        for port in (OPEN, CLOSED):
            in_namespace(self.namespace, partial(lab.echo, self.web.ipv4, port))
        made = self.cli(
            "gateways", "create", "gw", "--host", lab.gateway.address, "--pool", POOL, "--tailnet"
        )
        (lab.folder / "token").write_text(made["token"])
        command = lab.command("--interface-prefix", lab.name)
        command[command.index("--server") + 1] = self.server.url
        lab.program.start([*lab.gateway.prefix, *command], env=os.environ)
        self.key: str = eventually(self._gateway_key, "the gateway's key")

    def close(self) -> None:
        for process in (self.lab.program, self.gateway, self.web):
            process.kill()
        self.server.stop()

    def cli(self, *arguments: str) -> Any:
        return self.server.cli("wireguard", *arguments)

    def device(self, name: str, address: str, *how: str) -> Device:
        """A device that is a peer, with the routes of its configuration."""
        device = self.lab.device(address)
        made = self.cli("peers", "create", device.public_key, "--name", name, "--address", address, *how)
        device.point_to(self.key, 51820)
        routes = made["config"]["allowed_ips"]
        device.run("wg", "set", device.interface, "peer", self.key, "allowed-ips", ",".join(routes))
        for route in routes:
            device.run("ip", "route", "replace", route, "dev", device.interface)
        in_namespace(device.namespace, partial(self.lab.echo, address, BACK))
        return device

    def _client(self, name: str, host: Any) -> StockClient:
        client = StockClient(host=host, binaries=clients.ensure(clients.NEW), login_server=self.server.url)
        client.start()
        return client

    def _key(self, tag: str) -> str:
        key: str = self.server.create_key(tags=(tag,))["key"]
        return key

    def _gateway_key(self) -> str | None:
        key: str = self.cli("gateways", "show", "gw")["keys"][-1]["public_key"]
        return key or None


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    require([*missing_for_interop(), *missing_for_wireguard()], "tests of gateways in a tailnet")
    with WireguardLab() as lab:
        made = Place(lab)
        try:
            yield made
        finally:
            print(lab.program.log_tail(), made.server.log_tail(60), made.web.log_tail())
            made.close()


def test_both_reach_each_other_as_the_policy_says(place: Place) -> None:
    place.server.write_policy(policy(RULES))
    phone = place.device("phone", "10.99.0.21", "--service", "phone", "--permanent", "--reason", "test")
    place.server.write_policy(policy([]))
    place.web.wait_peers()
    holds(lambda: not phone.reaches(place.web.ipv4, OPEN), "nothing without a rule", seconds=1.0)

    place.server.write_policy(policy(RULES))
    place.web.wait_peers("gw")
    eventually(lambda: phone.reaches(place.web.ipv4, OPEN), "the machine to answer the device", within=10)
    assert not phone.reaches(place.web.ipv4, CLOSED)
    with Flow(place.namespace, phone.address, BACK) as flow:
        eventually(flow.echo, "the device to answer the machine", within=10)
    explained = place.server.cli("policy", "explain", "wg:phone", f"tag:web:{OPEN}/udp")
    assert explained["allowed"] is True, json.dumps(explained)

    place.server.write_policy(policy(RULES[:1]))
    eventually(lambda: not _answers(place, phone), "the way back to close", within=3)
    assert phone.reaches(place.web.ipv4, OPEN)

    place.cli("peers", "revoke", "phone")
    eventually(lambda: not phone.reaches(place.web.ipv4, OPEN, within=0.1), "the end", within=2)
    place.web.wait_peers()


def _answers(place: Place, phone: Device) -> bool:
    with Flow(place.namespace, phone.address, BACK) as flow:
        return flow.echo()


def test_a_window_of_a_profile_opens_a_machine_to_a_device(place: Place) -> None:
    profiles = {
        "web": {"src": ["ada@"], "dst": [f"tag:web:{OPEN}"], "proto": "udp", "maxDuration": "1h"},
    }
    place.server.write_policy({**policy([]), "access": {"profiles": profiles}})
    place.server.create_user("ada")
    laptop = place.device("laptop", "10.99.0.22", "--user", "ada", "--profile", "web")
    eventually(lambda: laptop.reaches(place.web.ipv4, OPEN), "the machine to answer the device", within=10)
    assert not laptop.reaches(place.web.ipv4, CLOSED)
    (request,) = place.server.cli("access", "list")
    place.server.cli("access", "revoke", request["id"])
    eventually(lambda: not laptop.reaches(place.web.ipv4, OPEN, within=0.1), "the end", within=2)
