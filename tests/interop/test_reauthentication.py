"""`tailscale up --force-reauth` while packets flow: the node stays the same, and so does the tunnel where the
client can keep it.
"""

import itertools
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.interop.conftest import NewClient
from tests.support.clients import NEW, VERSIONS
from tests.support.lab import Lab
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually, holds

INTERVAL_S = 0.05
GAP_S = 6.5
"""Mostly it is 0.1 s. When a peer's first handshake comes before the client uses its new key, WireGuard asks
again after 5 s; a client that is cut off for the length of the login would be silent for longer.
"""
LOGIN_S = 8
_REPLY = re.compile(r"^\[([0-9.]+)\] .*icmp_seq=\d+ ttl=", re.M)


@dataclass
class Replies:
    """When answers came, filled when the ping has ended."""

    gap: float = float("inf")
    """Longest time between two answers, in seconds."""


@contextmanager
def pinging(client: StockClient, address: str) -> Iterator[Replies]:
    """Kernel pings through the tunnel for as long as the block lasts, and for a while before and after."""
    replies = Replies()
    process = client.spawn("ping", "-n", "-D", "-i", str(INTERVAL_S), "-w", "60", address)
    try:
        holds(lambda: process.poll() is None, "pinging", seconds=0.5)
        yield replies
        holds(lambda: process.poll() is None, "pinging", seconds=7)
    finally:
        # Not SIGTERM, at which it would not print what it still holds.
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
    times = [float(found[1]) for found in _REPLY.finditer(output)]
    assert len(times) > 10, output
    replies.gap = max(later - earlier for earlier, later in itertools.pairwise(times))


def identity(server: Server, client: StockClient) -> tuple[str, list[str], str]:
    node = server.node(client.name)
    return node["id"], node["ipAddresses"], node["givenName"]


@pytest.fixture(scope="module")
def watchers(lab: Lab, server: Server, ada_key: str) -> dict[str, StockClient]:
    """A peer of each version."""
    found = {
        version: lab.client(f"watch{number}", version=version) for number, version in enumerate(VERSIONS)
    }
    lab.join(ada_key, *found.values())
    return found


@pytest.mark.parametrize("peer", VERSIONS)
@pytest.mark.parametrize("version", VERSIONS)
def test_with_an_auth_key_the_tunnel_stays_up(
    server: Server,
    ada_key: str,
    watchers: dict[str, StockClient],
    new_client: NewClient,
    version: str,
    peer: str,
) -> None:
    client, watcher = new_client("reauth", version=version), watchers[peer]
    client.up(ada_key)
    server.run("nodes", "rename", f"fixed-{client.name}", "--identifier", server.node(client.name)["id"])
    watcher.wait_online(client.name)
    watcher.ping(client.ipv4)
    before, key = identity(server, client), client.node_key()
    with pinging(watcher, client.ipv4) as replies:
        client.up(ada_key, "--force-reauth")
        eventually(lambda: client.node_key() != key, "a new node key")
        client.wait_state("Running")
    assert identity(server, client) == before
    print(f"{version} seen from {peer}: {replies.gap:.2f} s without an answer")
    assert replies.gap < GAP_S


def let_in(server: Server, client: StockClient) -> None:
    url = str(eventually(lambda: client.status().get("AuthURL"), f"{client.name} to show a link"))
    key = server.node(client.name)["nodeKey"]
    holds(lambda: server.node(client.name)["nodeKey"] == key, "the old key", seconds=LOGIN_S)
    server.cli("auth", "register", "--user", "ada", "--auth-id", url.rsplit("/", 1)[1])
    eventually(lambda: server.node(client.name)["nodeKey"] != key, "the new key")


def test_a_login_from_the_clients_menu_does_not_interrupt_the_new_client(
    server: Server, ada_key: str, watchers: dict[str, StockClient], new_client: NewClient
) -> None:
    client, watcher = new_client("menu"), watchers[NEW]
    client.up(ada_key)
    # A daemon keeps its auth key until it ends, and would log in with it.
    client.stop()
    client.start()
    watcher.wait_online(client.name)
    watcher.ping(client.ipv4)
    before = identity(server, client)
    with pinging(watcher, client.ipv4) as replies:
        client.login_interactive()
        let_in(server, client)
        client.wait_state("Running")
    assert identity(server, client) == before
    assert replies.gap < GAP_S


@pytest.mark.parametrize("version", VERSIONS)
def test_forced_on_the_command_line_and_confirmed_by_a_person_it_is_the_same_node(
    server: Server, ada_key: str, watchers: dict[str, StockClient], new_client: NewClient, version: str
) -> None:
    """Both clients forget their map at once with this command, so their tunnel waits for the person."""
    client, watcher = new_client("forced", version=version), watchers[NEW]
    client.up(ada_key)
    watcher.wait_online(client.name)
    before = identity(server, client)
    up = client.spawn_up("--force-reauth")
    try:
        let_in(server, client)
        output, _ = up.communicate(timeout=20)
    finally:
        up.kill()
        up.communicate()
    assert up.returncode == 0, output
    client.wait_state("Running")
    assert identity(server, client) == before
    eventually(lambda: watcher.answers_icmp(client.ipv4), "an answer through the tunnel", within=15)
