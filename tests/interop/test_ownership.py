"""Owners, roles, suspension and fixed addresses as stock clients notice them."""

from __future__ import annotations

import pytest

from tests.interop.conftest import NewClient
from tests.support.clients import VERSIONS
from tests.support.lab import Lab
from tests.support.server_process import CommandFailedError, Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually, holds

AT_ONCE_S = 1.0
POLICY = {
    "tagOwners": {"tag:ci": ["autogroup:admin"]},
    "grants": [
        {"src": ["autogroup:member", "autogroup:tagged"], "dst": ["autogroup:member"], "ip": ["*"]},
        {"src": ["autogroup:admin"], "dst": ["autogroup:tagged"], "ip": ["*"]},
    ],
}


@pytest.fixture(scope="module")
def server(lab: Lab) -> Server:
    """A server with the users ada and bob, whose admins reach tagged nodes."""
    started = lab.server(policy=POLICY)
    started.create_user("ada")
    started.create_user("bob")
    return started


@pytest.fixture(scope="module")
def watcher(lab: Lab, server: Server, ada_key: str) -> StockClient:
    """A peer, of ada, that must see the same as the server."""
    client = lab.client("watcher")
    client.up(ada_key)
    return client


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """Each test with both client versions."""
    return str(request.param)


def login_of(client: StockClient, user_id: int) -> str | None:
    """A user's login name, as far as the client knows it."""
    user = client.status()["User"].get(str(user_id))
    return None if user is None else str(user["LoginName"])


def test_a_node_is_moved_while_it_runs(
    server: Server, ada_key: str, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("moved", version=version)
    client.up(ada_key)
    watcher.wait_online(client.name)
    node, key, addresses = server.node(client.name), client.node_key(), client.addresses()
    moved = server.cli("nodes", "move", "--identifier", node["id"], "--user", "bob")
    assert moved["user"]["name"] == "bob"
    eventually(
        lambda: login_of(client, client.status()["Self"]["UserID"]) == "bob",
        "the node to learn its user",
        within=AT_ONCE_S,
    )
    eventually(
        lambda: login_of(watcher, watcher.peers()[client.name]["UserID"]) == "bob",
        "the peer to learn the user",
        within=AT_ONCE_S,
    )
    assert (client.node_key(), client.addresses(), client.state()) == (key, addresses, "Running")
    watcher.ping(client.ipv4)
    client.stop()
    client.start()
    client.wait_state("Running")
    assert server.node(client.name)["user"]["name"] == "bob"


def test_a_new_address_works_at_once_and_after_a_restart(
    server: Server, ada_key: str, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("fixed", version=version)
    client.up(ada_key)
    watcher.wait_online(client.name)
    node, before = server.node(client.name), client.addresses()
    wanted = f"100.64.77.{100 + int(node['id'])}"
    server.cli("nodes", "set-ip", "--identifier", node["id"], "--ip", wanted)
    eventually(lambda: client.addresses() == [wanted, before[1]], "its new address", within=AT_ONCE_S)
    eventually(
        lambda: watcher.peers()[client.name]["TailscaleIPs"] == [wanted, before[1]],
        "the peer to learn the address",
        within=AT_ONCE_S,
    )
    assert watcher.ping(wanted).address
    client.stop()
    client.start()
    client.wait_state("Running")
    assert client.addresses() == [wanted, before[1]]
    with pytest.raises(CommandFailedError, match="belongs to node"):
        server.cli("nodes", "set-ip", "-i", server.node(watcher.name)["id"], "--ip", wanted)


def test_a_suspended_user_is_out_and_back_as_the_same_node(
    server: Server, bob_key: str, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("suspended", version=version)
    client.up(bob_key)
    watcher.wait_online(client.name)
    node = server.node(client.name)
    server.cli("users", "suspend", "bob")
    try:
        client.wait_state("NeedsLogin", within=AT_ONCE_S)
        eventually(
            lambda: watcher.peers()[client.name].get("Expired"), "the peer to hear of it", within=AT_ONCE_S
        )
        assert "user `bob` is suspended" in client.up_refused(bob_key, "--reset")
        holds(lambda: client.state() != "Running", "being out", seconds=1)
        with pytest.raises(CommandFailedError, match="suspended"):
            server.cli("nodes", "expire", "-i", node["id"], "--disable")
    finally:
        server.cli("users", "restore", "bob")
    client.up(bob_key, "--reset")
    client.wait_state("Running")
    again = server.node(client.name)
    assert (again["id"], again["ipAddresses"]) == (node["id"], node["ipAddresses"])
    watcher.wait_online(client.name)
    watcher.ping(client.ipv4)


def test_a_role_opens_what_the_policy_gives_it_while_clients_run(
    server: Server, ada_key: str, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("tagged", version=version)
    client.up(ada_key)
    watcher.wait_online(client.name)
    node = server.node(client.name)
    server.cli("nodes", "tag", "--identifier", node["id"], "--tags", "tag:ci")
    eventually(lambda: client.status()["Self"].get("Tags") == ["tag:ci"], "its tag", within=AT_ONCE_S)
    assert not watcher.answers_icmp(client.ipv4)
    server.cli("users", "set-role", "ada", "admin")
    try:
        eventually(lambda: watcher.answers_icmp(client.ipv4), "the way that admins have", within=3)
    finally:
        server.cli("users", "set-role", "ada", "member")
    assert not watcher.answers_icmp(client.ipv4)
    server.cli("nodes", "untag", "--identifier", node["id"], "--user", "ada")
    eventually(lambda: "Tags" not in client.status()["Self"], "no tag", within=AT_ONCE_S)
    watcher.ping(client.ipv4)


def test_a_longer_key_brings_an_expired_node_back(
    server: Server, ada_key: str, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("longer", version=version)
    client.up(ada_key)
    watcher.wait_online(client.name)
    node, key = server.node(client.name), client.node_key()
    server.cli("nodes", "expire", "-i", node["id"])
    client.wait_state("NeedsLogin", within=AT_ONCE_S)
    server.cli("nodes", "extend", "-i", node["id"], "--for", "30d")
    client.wait_state("Running", within=3)
    assert client.node_key() == key
    watcher.ping(client.ipv4)


def test_a_user_is_deleted_with_their_nodes(
    server: Server, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    server.create_user("carol")
    client = new_client("carols", version=version)
    client.up(server.create_key("carol")["key"])
    watcher.wait_online(client.name)
    with pytest.raises(CommandFailedError, match=rf"still owns 1 node\(s\): {client.name}"):
        server.cli("users", "destroy", "--name", "carol", "--force")
    server.cli("users", "destroy", "--name", "carol", "--with-nodes", "--force")
    client.wait_state("NeedsLogin", within=AT_ONCE_S)
    eventually(lambda: client.name not in watcher.peers(), "the peer to forget it", within=AT_ONCE_S)
