"""`nodes rotate` with stock clients: a new key at the next start, without a login."""

import pytest

from tests.interop.conftest import NewClient
from tests.support.clients import VERSIONS
from tests.support.lab import Lab
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually, holds

ZERO = "nodekey:" + "0" * 64


@pytest.fixture(scope="module")
def watcher(lab: Lab, server: Server, ada_key: str) -> StockClient:
    """A peer."""
    client = lab.client("watcher")
    client.up(ada_key)
    return client


def same(server: Server, client: StockClient) -> tuple[object, ...]:
    node = server.node(client.name)
    return node["id"], node["ipAddresses"], node["givenName"], node["expiry"], node["tags"]


def new_key(client: StockClient, old: str) -> None:
    """The client has another key; the new one starts from its own copy of the map, with the old key."""
    eventually(lambda: client.node_key() not in (old, ZERO), f"{client.name} to have a new key", within=15)
    client.wait_state("Running")


def reached(watcher: StockClient, client: StockClient) -> None:
    """The peer knows the new key and gets through."""
    eventually(lambda: watcher.peers()[client.name]["PublicKey"] == client.node_key(), "the peer to know")
    eventually(lambda: watcher.answers_icmp(client.ipv4), "an answer through the tunnel", within=15)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_restart_brings_the_new_key(
    server: Server, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("turn", version=version)
    client.up(str(server.create_key("ada")["key"]))
    watcher.wait_online(client.name)
    before, key = same(server, client), client.node_key()
    server.cli("nodes", "rotate", before[0])
    # Nothing happens to a client that runs.
    holds(lambda: (client.state(), client.node_key()) == ("Running", key), "running on", seconds=1)
    watcher.ping(client.ipv4)
    for stop in (client.stop, client.kill):
        stop()
        client.start()
        new_key(client, key)
        assert same(server, client) == before
        eventually(
            lambda: watcher.peers()[client.name]["PublicKey"] == client.node_key(),
            "the peer to know",
            within=5,
        )
        assert watcher.ping(client.ipv4)
        key = client.node_key()
        server.cli("nodes", "rotate", before[0], "--within", "14d")


@pytest.mark.parametrize("version", VERSIONS)
def test_up_with_force_reauth_brings_it_without_a_login(
    server: Server, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("force", version=version)
    client.up(str(server.create_key("ada")["key"]))
    before, key = same(server, client), client.node_key()
    server.cli("nodes", "rotate", before[0])
    client.up(None, "--force-reauth")
    new_key(client, key)
    assert same(server, client) == before
    reached(watcher, client)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_tagged_node_stays_tagged(server: Server, new_client: NewClient, version: str) -> None:
    key = server.create_key("ada")["key"]
    client = new_client("box", version=version)
    client.up(str(key))
    server.run("nodes", "tag", "-i", server.node(client.name)["id"], "-t", "tag:box")
    before, old = same(server, client), client.node_key()
    server.cli("nodes", "rotate", before[0])
    client.stop()
    client.start()
    new_key(client, old)
    assert same(server, client) == before


def test_who_does_not_start_in_time_is_asked_to_log_in(
    server: Server, watcher: StockClient, new_client: NewClient
) -> None:
    client = new_client("late")
    client.up(str(server.create_key("ada")["key"]))
    watcher.wait_online(client.name)
    before = same(server, client)
    server.cli("nodes", "rotate", before[0], "--within", "3s")
    client.wait_state("NeedsLogin", within=10)
    watcher.wait_online(client.name, False, within=5)
    client.up(str(server.create_key("ada")["key"]))
    client.wait_state("Running")
    assert same(server, client) == before
