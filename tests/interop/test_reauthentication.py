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
from tests.support.server_process import ALLOW_ALL, Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually, holds

INTERVAL_S = 0.05
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
    assert replies.gap < 1.0


def let_in_again(server: Server, client: StockClient, key: str, watcher: StockClient) -> Replies:
    """A login in the browser that takes two seconds, with pings all the while."""
    with pinging(watcher, client.ipv4) as replies:
        up = client.spawn(
            str(client.binaries.tailscale), f"--socket={client.folder / 's'}", "up", "--force-reauth",
            f"--login-server={client.login_server}", f"--hostname={client.name}", "--accept-dns=false",
            "--timeout=60s",
        )  # fmt: skip
        try:
            url = str(eventually(lambda: client.status().get("AuthURL"), f"{client.name} to show a link"))
            holds(lambda: server.node(client.name)["nodeKey"] == key, "the old key", seconds=2)
            server.cli("auth", "register", "--user", "ada", "--auth-id", url.rsplit("/", 1)[1])
            output, _ = up.communicate(timeout=20)
        finally:
            up.kill()
            up.communicate()
        assert up.returncode == 0, output
        client.wait_state("Running")
    return replies


def test_a_login_in_the_browser_does_not_interrupt_the_new_client(
    server: Server, ada_key: str, watchers: dict[str, StockClient], new_client: NewClient
) -> None:
    client, watcher = new_client("browser"), watchers[NEW]
    client.up(ada_key)
    watcher.wait_online(client.name)
    watcher.ping(client.ipv4)
    before, key = identity(server, client), client.node_key()
    replies = let_in_again(server, client, key, watcher)
    assert identity(server, client) == before
    assert client.node_key() != key
    assert replies.gap < 1.0


@pytest.mark.parametrize(("attribute", "longest"), [("seamless-key-renewal", 1.0), ("", 20.0)])
def test_the_old_client_keeps_its_tunnel_when_the_policy_tells_it_to(
    lab: Lab, attribute: str, longest: float
) -> None:
    policy = ALLOW_ALL | ({"nodeAttrs": [{"target": ["*"], "attr": [attribute]}]} if attribute else {})
    server = lab.server(policy=policy)
    server.create_user("ada")
    key = str(server.create_key("ada", reusable=True)["key"])
    suffix = "s" if attribute else "p"
    client = lab.client(f"old{suffix}", version=VERSIONS[-1], server=server)
    watcher = lab.client(f"peer{suffix}", server=server)
    lab.join(key, client, watcher)
    watcher.wait_online(client.name)
    watcher.ping(client.ipv4)
    before, node_key = identity(server, client), client.node_key()
    replies = let_in_again(server, client, node_key, watcher)
    assert identity(server, client) == before
    print(f"{attribute or 'without the attribute'}: {replies.gap:.2f} s without an answer")
    assert replies.gap < longest
