"""More of the policy language as stock clients see it: capabilities, attributes, routes, SSH."""

import json
from typing import Any

import pytest

from tests.support.clients import NEW, OLD
from tests.support.lab import Lab
from tests.support.server_process import ALLOW_ALL, Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually

NETWORK = "10.213.7.0/24"
EVERYTHING = [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]


@pytest.fixture(scope="module")
def members(lab: Lab, server: Server, ada_key: str, bob_key: str) -> dict[str, StockClient]:
    """ada on a new client, bob on an old one."""
    found = {}
    for name, version, key in (("ada", NEW, ada_key), ("bob", OLD, bob_key)):
        found[name] = lab.client(name, version=version)
        found[name].up(key)
    return found


@pytest.fixture(autouse=True)
def start_from_allow_all(server: Server, members: dict[str, StockClient]) -> None:
    """Each test begins with everybody seeing everybody."""
    server.write_policy(ALLOW_ALL)
    for client in members.values():
        client.wait_peers(*(members.keys() - {client.name}))


def capabilities_of(viewer: StockClient, address: str) -> dict[str, Any]:
    """What the owner of an address may do on this machine, as applications are told."""
    answer: dict[str, Any] = json.loads(viewer.tailscale("whois", "--json", address))
    return dict(answer.get("CapMap") or {})


def test_an_app_capability_reaches_whois(server: Server, members: dict[str, StockClient]) -> None:
    grant = {
        "src": ["ada@"],
        "dst": ["bob@"],
        "ip": ["*"],
        "app": {"example.com/cap/reader": [{"rooms": ["x"]}]},
    }
    server.write_policy({"grants": [grant]})
    ada, bob = members["ada"], members["bob"]
    found = eventually(
        lambda: capabilities_of(bob, ada.ipv4).get("example.com/cap/reader"), "the capability at bob"
    )
    assert found == [{"rooms": ["x"]}]
    assert "example.com/cap/reader" not in capabilities_of(ada, bob.ipv4)
    server.write_policy(ALLOW_ALL)
    eventually(lambda: not capabilities_of(bob, ada.ipv4), "the capability to be gone")


def test_node_attributes_are_stamped_on_their_nodes(server: Server, members: dict[str, StockClient]) -> None:
    attributes = [{"target": ["ada@"], "attr": ["magicdns-aaaa", "randomize-client-port"]}]
    server.write_policy({"acls": EVERYTHING, "nodeAttrs": attributes})

    def stamped(client: StockClient) -> bool:
        own = client.status()["Self"].get("CapMap") or {}
        return "magicdns-aaaa" in own and "randomize-client-port" in own

    eventually(lambda: stamped(members["ada"]), "the attributes at ada")
    assert not stamped(members["bob"])
    server.write_policy(ALLOW_ALL)
    eventually(lambda: not stamped(members["ada"]), "the attributes to be gone")


def test_a_route_is_approved_by_the_policy_and_carried(
    server: Server, members: dict[str, StockClient]
) -> None:
    ada, bob = members["ada"], members["bob"]
    server.write_policy({"acls": EVERYTHING, "autoApprovers": {"routes": {"10.213.0.0/16": ["bob@"]}}})
    # Routes are judged when they are advertised, by the policy in force then.
    eventually(lambda: "autoApprovers" in server.run("policy", "get").stdout, "the policy in force")
    bob.tailscale("set", f"--advertise-routes={NETWORK}")
    ada.tailscale("set", "--accept-routes=true")
    eventually(lambda: NETWORK in (ada.peers()["bob"].get("PrimaryRoutes") or ()), "the route at ada")
    assert server.node("bob")["subnetRoutes"] == [NETWORK]
    bob.tailscale("set", "--advertise-routes=")
    eventually(lambda: NETWORK not in (ada.peers()["bob"].get("PrimaryRoutes") or ()), "the route to be gone")


def test_ssh_is_accepted_and_refused_by_rule(server: Server, members: dict[str, StockClient]) -> None:
    ada, bob = members["ada"], members["bob"]

    def rule(user: str) -> dict[str, Any]:
        ssh = [{"action": "accept", "src": ["ada@"], "dst": ["tag:box"], "users": [user]}]
        return {"acls": EVERYTHING, "tagOwners": {"tag:box": ["bob@"]}, "ssh": ssh}

    def log_in() -> str:
        return ada.tailscale("ssh", "root@bob", "echo", "in", check=False, timeout=20)

    server.write_policy(rule("root"))
    server.cli("nodes", "tag", "-i", server.node("bob")["id"], "-t", "tag:box")
    bob.tailscale("set", "--ssh")
    eventually(lambda: "in" in log_in().split(), "a login as root", within=30)
    server.write_policy(rule("nobody"))
    eventually(lambda: "in" not in log_in().split(), "the login to be refused", within=30)
