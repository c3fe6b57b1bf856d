"""What happens to a node when its client restarts, rotates its key, logs out, is deleted or expires."""

import pytest

from tests.interop.conftest import NewClient
from tests.support.clients import VERSIONS
from tests.support.lab import Lab
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually, holds

AT_ONCE_S = 1.0


@pytest.fixture(scope="module")
def watcher(lab: Lab, server: Server, ada_key: str) -> StockClient:
    """A peer that must see the same as the server."""
    client = lab.client("watcher")
    client.up(ada_key)
    return client


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """Each test with both client versions."""
    return str(request.param)


def identity(server: Server, client: StockClient) -> tuple[str, list[str], str]:
    """What must survive: node id, addresses, name."""
    node = server.node(client.name)
    return node["id"], client.addresses(), client.status()["Self"]["DNSName"]


def peer_key(watcher: StockClient, client: StockClient) -> str | None:
    peer = watcher.peers().get(client.name)
    return None if peer is None else str(peer["PublicKey"])


def test_restart_needs_no_key(
    server: Server, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("restart", version=version)
    client.up(server.create_key("ada")["key"])
    before, key = identity(server, client), client.node_key()
    client.stop()
    client.start()
    client.wait_state("Running")
    assert (identity(server, client), client.node_key()) == (before, key)
    client.kill()
    client.start()
    client.wait_state("Running")
    assert (identity(server, client), client.node_key()) == (before, key)
    watcher.wait_online(client.name)
    watcher.ping(client.ipv4)


def test_a_container_gives_its_used_key_at_every_start(
    server: Server, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    key = server.create_key("ada")["key"]
    client = new_client("container", version=version)
    client.up(key)
    before = identity(server, client)
    for _ in range(2):
        client.kill()
        client.start()
        client.up(key)
        assert identity(server, client) == before
    watcher.wait_online(client.name)


def test_forced_login_rotates_the_key_of_the_same_node(
    server: Server, ada_key: str, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("rotate", version=version)
    client.up(ada_key)
    before, key = identity(server, client), client.node_key()
    watcher.wait_online(client.name)
    client.up(ada_key, "--force-reauth")
    eventually(lambda: client.node_key() != key, "a new node key")
    client.wait_state("Running")
    assert identity(server, client) == before
    assert server.node(client.name)["nodeKey"] == client.node_key()
    eventually(
        lambda: peer_key(watcher, client) == client.node_key(), "the peer to learn the new key", within=2
    )
    watcher.ping(client.ipv4)
    assert key.removeprefix("nodekey:") not in watcher.netmap_text()


def test_logout_and_login_is_the_same_node(
    server: Server, ada_key: str, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("again", version=version)
    client.up(ada_key)
    before, key = identity(server, client), client.node_key()
    watcher.wait_online(client.name)
    client.logout()
    client.wait_state("NeedsLogin", within=5)
    watcher.wait_online(client.name, False, within=15)
    holds(lambda: client.state() == "NeedsLogin", "being logged out", seconds=0.5)
    client.up(ada_key, "--reset")
    client.wait_state("Running")
    assert identity(server, client) == before
    assert client.node_key() != key
    watcher.wait_online(client.name)
    watcher.ping(client.ipv4)


def test_another_user_on_the_same_machine_is_another_node(
    server: Server, ada_key: str, bob_key: str, new_client: NewClient, version: str
) -> None:
    client = new_client("shared", version=version)
    client.up(ada_key)
    adas = server.node(client.name)
    client.logout()
    client.up(bob_key, "--reset")
    client.wait_state("Running")
    nodes = [node for node in server.nodes() if node["name"] == client.name]
    assert sorted(node["user"]["name"] for node in nodes) == ["ada", "bob"]
    bobs = next(node for node in nodes if node["user"]["name"] == "bob")
    assert bobs["id"] != adas["id"]
    assert bobs["machineKey"] == adas["machineKey"]
    assert set(bobs["ipAddresses"]).isdisjoint(adas["ipAddresses"])
    assert client.addresses() == bobs["ipAddresses"]


def test_a_deleted_node_is_told_at_once_and_may_come_back(
    server: Server, ada_key: str, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("deleted", version=version)
    client.up(ada_key)
    watcher.wait_online(client.name)
    server.cli("nodes", "delete", "-i", server.node(client.name)["id"], "--force")
    client.wait_state("NeedsLogin", within=AT_ONCE_S)
    eventually(lambda: client.name not in watcher.peers(), "the peer to forget it", within=AT_ONCE_S)
    holds(lambda: client.state() == "NeedsLogin", "being out", seconds=1)
    client.up(ada_key, "--reset")
    client.wait_state("Running")
    watcher.wait_online(client.name)
    # Its relay must be back too: a tombstone without DERPMap costs 1.102 its relay until a restart.
    eventually(lambda: client.status()["Self"].get("Relay") == "lab", "its relay")
    watcher.ping(client.ipv4)


def test_a_node_deleted_while_cut_off_is_told_when_it_is_back(
    server: Server, ada_key: str, new_client: NewClient, version: str
) -> None:
    client = new_client("cutoff", version=version)
    client.up(ada_key)
    client.set_link(up=False)
    server.cli("nodes", "delete", "-i", server.node(client.name)["id"], "--force")
    client.set_link(up=True)
    client.wait_state("NeedsLogin", within=15)
    client.up(ada_key, "--reset")
    client.wait_state("Running")


def test_a_node_deleted_while_stopped_is_asked_to_log_in(
    server: Server, ada_key: str, new_client: NewClient, version: str
) -> None:
    client = new_client("stopped", version=version)
    client.up(ada_key)
    client.stop()
    server.cli("nodes", "delete", "-i", server.node(client.name)["id"], "--force")
    client.start()
    # Not NeedsLogin: 1.102 starts from the netmap it keeps on disk and stays on it until the login is done.
    eventually(lambda: client.status().get("AuthURL"), "a link to log in", within=5)
    assert client.status()["AuthURL"].startswith(f"{server.url}/register/")
    assert client.name not in {node["name"] for node in server.nodes()}
    client.up(ada_key, "--reset")
    client.wait_state("Running")
    assert server.node(client.name)["online"]


def test_an_expired_node_is_told_at_once_and_logs_in_again(
    server: Server, ada_key: str, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("expired", version=version)
    client.up(ada_key)
    before, key = identity(server, client), client.node_key()
    watcher.wait_online(client.name)
    server.cli("nodes", "expire", "-i", before[0])
    client.wait_state("NeedsLogin", within=AT_ONCE_S)
    client.up(ada_key, "--reset")
    client.wait_state("Running")
    assert client.node_key() != key
    assert identity(server, client) == before
    eventually(
        lambda: peer_key(watcher, client) == client.node_key(), "the peer to learn the new key", within=2
    )
    watcher.ping(client.ipv4)


def test_an_expiry_taken_back_needs_no_login(
    server: Server, ada_key: str, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("spared", version=version)
    client.up(ada_key)
    before, key = identity(server, client), client.node_key()
    server.cli("nodes", "expire", "-i", before[0])
    client.wait_state("NeedsLogin", within=AT_ONCE_S)
    server.cli("nodes", "expire", "-i", before[0], "--disable")
    client.wait_state("Running", within=3)
    assert (identity(server, client), client.node_key()) == (before, key)
    watcher.wait_online(client.name)
    watcher.ping(client.ipv4)
