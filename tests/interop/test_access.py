"""Just-in-time access as stock clients live through it."""

import time
from typing import Any

import pytest

from tests.interop.traffic import echo_server, tcp_echo
from tests.support.clients import NEW, OLD
from tests.support.lab import Lab
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually

WITHIN_S = 1.0
POLICY: dict[str, Any] = {
    "groups": {"group:ops": ["ada@"], "group:leads": ["bob@"]},
    "tagOwners": {"tag:mgmt": []},
    "acls": [],
    "access": {
        "profiles": {
            "mgmt": {
                "src": ["group:ops"],
                "dst": ["tag:mgmt:*"],
                "approvers": ["group:leads"],
                "approvals": 1,
                "defaultDuration": "1h",
                "maxDuration": "4h",
                "reason": "required",
            }
        }
    },
}


@pytest.fixture(scope="module")
def pair(lab: Lab, server: Server, ada_key: str, bob_key: str) -> tuple[StockClient, StockClient]:
    """ada's laptop and a management server, one of each version."""
    server.write_policy(POLICY)
    laptop, target = lab.client("laptop", version=NEW), lab.client("target", version=OLD)
    key = server.create_key(tags=["tag:mgmt"])["key"]
    laptop.up(ada_key)
    target.up(str(key))
    return laptop, target


def request(server: Server, duration: str) -> str:
    asked = server.cli("access", "request", "mgmt", "--for", duration, "--reason", "lab", "--user", "ada")
    assert asked["state"] == "requested"
    return str(asked["id"])


def seconds_until(what: Any, description: str) -> float:
    began = time.monotonic()
    eventually(what, description, within=5, every=0.01)
    return time.monotonic() - began


def test_a_window_opens_carries_traffic_and_is_cut(
    server: Server, pair: tuple[StockClient, StockClient]
) -> None:
    laptop, target = pair
    number = request(server, "1h")
    assert laptop.peers() == target.peers() == {}
    assert target.node_key() not in laptop.netmap_text()
    server.cli("access", "approve", number, "--as", "bob")
    took = [
        seconds_until(lambda: "target" in laptop.peers(), "the target at the laptop"),
        seconds_until(lambda: "laptop" in target.peers(), "the laptop at the target"),
    ]
    assert max(took) < WITHIN_S, took
    laptop.ping(target.ipv4)
    address = target.ipv4
    with echo_server(target):
        tcp_echo(laptop, address)
        server.cli("access", "revoke", number, "--as", "bob")
        took = [
            seconds_until(lambda: not laptop.peers(), "the target to be gone"),
            seconds_until(lambda: not target.peers(), "the laptop to be gone"),
        ]
        assert max(took) < WITHIN_S, took
        assert target.node_key() not in laptop.netmap_text()
        with pytest.raises((AssertionError, OSError, TimeoutError)):
            tcp_echo(laptop, address)


def test_ten_windows_close_by_themselves_in_time(
    server: Server, pair: tuple[StockClient, StockClient]
) -> None:
    laptop, target = pair
    late = []
    for _ in range(10):
        server.cli("access", "approve", request(server, "2s"), "--as", "bob")
        eventually(lambda: laptop.peers() and target.peers(), "the window", within=2, every=0.01)
        opened = time.monotonic()
        eventually(lambda: not laptop.peers() and not target.peers(), "its end", within=5, every=0.01)
        late.append(time.monotonic() - opened - 2)
    assert max(late) < WITHIN_S, late


def test_a_window_that_ends_while_the_server_is_down(
    server: Server, pair: tuple[StockClient, StockClient]
) -> None:
    laptop, target = pair
    number = request(server, "3s")
    server.cli("access", "approve", number, "--as", "bob")
    eventually(lambda: laptop.peers() and target.peers(), "the window")
    server.kill9()
    time.sleep(3.5)
    assert laptop.peers(), "nobody told the client yet"
    server.start()
    eventually(lambda: not laptop.peers() and not target.peers(), "its end after the start", within=15)
    assert server.cli("access", "show", number)["end_reason"] == "expired"


def test_nobody_approves_their_own_request(server: Server, pair: tuple[StockClient, StockClient]) -> None:
    number = request(server, "1h")
    done = server.run("access", "approve", number, "--as", "ada")
    assert done.returncode == 1
    assert "somebody else" in done.stderr
    assert pair[0].peers() == {}
    assert server.cli("access", "deny", number, "--as", "bob")["state"] == "denied"
