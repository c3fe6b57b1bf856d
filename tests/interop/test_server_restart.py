"""The server goes away and comes back; clients keep their addresses and need nobody's help."""

import http.client
import threading
import time
from typing import Any

import pytest

from tests.interop.traffic import echo_server, tcp_echo
from tests.support.clients import NEW, OLD
from tests.support.lab import Lab
from tests.support.server_process import ALLOW_ALL, Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually

BACK_WITHIN_S = 3.0
NOBODY: dict[str, Any] = {"acls": []}


@pytest.fixture(scope="module")
def pair(lab: Lab, server: Server, ada_key: str) -> tuple[StockClient, StockClient]:
    """One running client of each version."""
    new, old = lab.client("new", version=NEW), lab.client("old", version=OLD)
    new.up(ada_key)
    old.up(ada_key)
    return new, old


@pytest.fixture(autouse=True)
def see_each_other(server: Server, pair: tuple[StockClient, StockClient]) -> None:
    """Each test begins with two connected clients."""
    server.write_policy(ALLOW_ALL)
    pair[0].wait_peers("old")
    pair[1].wait_peers("new")


def who(pair: tuple[StockClient, StockClient]) -> list[tuple[str, list[str]]]:
    return [(client.node_key(), client.addresses()) for client in pair]


def wait_connected_again(pair: tuple[StockClient, StockClient], *, within: float) -> None:
    """A policy that changed while the server was away is seen by whoever is connected again."""
    deadline = time.monotonic() + within
    for client in pair:
        client.wait_peers(within=max(deadline - time.monotonic(), 0.01))


@pytest.mark.parametrize("down_s", [0.0, 4.0])
def test_clients_are_back_after_kill_9(
    server: Server, pair: tuple[StockClient, StockClient], down_s: float
) -> None:
    before, nodes = who(pair), {node["name"]: node["ipAddresses"] for node in server.nodes()}
    server.kill9()
    server.write_policy(NOBODY)
    killed = time.monotonic()
    eventually(lambda: time.monotonic() >= killed + down_s, "the down time to pass", within=down_s + 1)
    server.start()
    wait_connected_again(pair, within=BACK_WITHIN_S)
    assert who(pair) == before
    assert {node["name"]: node["ipAddresses"] for node in server.nodes()} == nodes
    server.write_policy(ALLOW_ALL)
    pair[0].wait_peers("old")
    pair[0].ping(pair[1].ipv4)


def test_a_restart_shows_nobody_offline(server: Server, pair: tuple[StockClient, StockClient]) -> None:
    for client, other in (pair, pair[::-1]):
        client.wait_online(other.name)
    # Presence is written every five seconds; a node that came a moment before a crash may be missed.
    time.sleep(6)
    seen: list[bool] = []
    server.kill9()
    server.start()
    until = time.monotonic() + 4
    while time.monotonic() < until:
        seen += [client.peers()[other.name]["Online"] for client, other in (pair, pair[::-1])]
        time.sleep(0.05)
    assert all(seen)


def test_the_tunnel_works_while_the_server_is_away(
    server: Server, pair: tuple[StockClient, StockClient]
) -> None:
    new, old = pair
    new.ping(old.ipv4)
    with echo_server(old):
        tcp_echo(new, old.ipv4)
        server.kill9()
        tcp_echo(new, old.ipv4)
        server.start()
    server.write_policy(NOBODY)
    wait_connected_again(pair, within=BACK_WITHIN_S)


def test_a_registration_that_succeeded_survives_kill_9(lab: Lab, server: Server, ada_key: str) -> None:
    client = lab.client("justnow")
    client.up(ada_key)
    server.kill9()
    addresses, key = client.addresses(), client.node_key()
    server.start()
    node = server.node("justnow")
    assert (node["ipAddresses"], node["nodeKey"]) == (addresses, key)
    eventually(lambda: server.node("justnow")["online"], "the client to be back", within=BACK_WITHIN_S + 1)
    assert client.state() == "Running"
    server.cli("nodes", "delete", "-i", node["id"], "--force")


def test_a_clean_stop_ends_with_0_and_loses_nothing(
    server: Server, pair: tuple[StockClient, StockClient]
) -> None:
    before = who(pair)
    assert server.stop() == 0
    server.write_policy(NOBODY)
    server.start()
    wait_connected_again(pair, within=BACK_WITHIN_S)
    assert who(pair) == before


class Knocker(threading.Thread):
    """Asks for `/health` on a new connection again and again, and counts what happened."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._done = threading.Event()
        self.answered = 0
        self.failures: list[str] = []
        self.longest_s = 0.0

    def run(self) -> None:
        """Knock until told to stop."""
        while not self._done.wait(0.02):
            start = time.monotonic()
            connection = http.client.HTTPConnection(self._server.address, self._server.ports.http, timeout=10)
            try:
                connection.request("GET", "/health")
                status = connection.getresponse().status
                if status == 200:
                    self.answered += 1
                else:
                    self.failures.append(f"status {status}")
            except OSError as problem:
                self.failures.append(repr(problem))
            finally:
                connection.close()
            self.longest_s = max(self.longest_s, time.monotonic() - start)

    def finish(self) -> None:
        """Stop knocking."""
        self._done.set()
        self.join(15)


def test_a_planned_restart_refuses_nobody(server: Server, pair: tuple[StockClient, StockClient]) -> None:
    before, pid = who(pair), server.pid
    known = len(server.log_text())
    knocker = Knocker(server)
    knocker.start()
    try:
        eventually(lambda: knocker.answered > 5, "answers before the restart")
        server.write_policy(NOBODY)
        wait_connected_again(pair, within=2)
        server.restart_in_place()
        eventually(lambda: "ready" in server.log_text()[known:], "the new process to say so", within=20)
        server.wait_ready()
        server.write_policy(ALLOW_ALL)
        back = time.monotonic()
        pair[0].wait_peers("old", within=BACK_WITHIN_S)
        pair[1].wait_peers("new", within=max(BACK_WITHIN_S - (time.monotonic() - back), 0.01))
    finally:
        knocker.finish()
    # A request in flight at the moment of the change may be cut; a refused connection may not be.
    refused = [text for text in knocker.failures if "Refused" in text]
    assert refused == []
    assert len(knocker.failures) <= 1, knocker.failures
    assert knocker.longest_s < 5
    assert server.pid == pid
    assert who(pair) == before
