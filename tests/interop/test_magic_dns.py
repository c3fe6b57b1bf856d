"""Names of peers resolve on a client that accepts the tailnet's DNS settings."""

import pytest

from tests.interop.traffic import MAGIC_DNS, resolve
from tests.support.clients import NEW, OLD, VERSIONS
from tests.support.lab import Lab
from tests.support.server_process import DOMAIN, Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def joined(lab: Lab, server: Server, ada_key: str) -> dict[str, StockClient]:
    """One client of each version, with `--accept-dns`."""
    found = {}
    for version, name in ((NEW, "fresh"), (OLD, "vintage")):
        client = lab.client(name, version=version)
        client.up(ada_key, accept_dns=True)
        found[version] = client
    found[NEW].wait_peers("vintage")
    found[OLD].wait_peers("fresh")
    return found


def other(joined: dict[str, StockClient], version: str) -> StockClient:
    return joined[OLD if version == NEW else NEW]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_client_answers_for_its_peer(joined: dict[str, StockClient], version: str) -> None:
    client, peer = joined[version], other(joined, version)
    name = f"{peer.name}.{DOMAIN}"
    ipv4 = peer.ipv4
    eventually(lambda: resolve(client, name) == [ipv4], f"{name} on {client.name}", within=5)
    # Clients publish no AAAA for peers that have an IPv4 address: the name exists, without a record.
    assert resolve(client, name, ipv6=True) == []
    assert resolve(client, f"nobody.{DOMAIN}") == ["rcode 3"]


@pytest.mark.parametrize("version", VERSIONS)
def test_programs_resolve_the_short_name(joined: dict[str, StockClient], version: str) -> None:
    client, peer = joined[version], other(joined, version)

    def looked_up() -> str:
        return client.run("getent", "ahostsv4", peer.name).stdout

    found = eventually(looked_up, f"`{peer.name}` to resolve on {client.name}", within=5)
    assert found.split()[0] == peer.ipv4
    resolv_conf = client.run("cat", "/etc/resolv.conf").stdout
    assert f"nameserver {MAGIC_DNS}" in resolv_conf
    assert DOMAIN in resolv_conf


@pytest.mark.parametrize("version", VERSIONS)
def test_tailscale_ping_takes_the_name(joined: dict[str, StockClient], version: str) -> None:
    client, peer = joined[version], other(joined, version)
    assert client.ping(peer.name).address == peer.ipv4


def test_a_renamed_node_resolves_under_its_new_name(joined: dict[str, StockClient], server: Server) -> None:
    client, peer = joined[NEW], joined[OLD]
    server.cli("nodes", "rename", "antique", "-i", server.node(peer.name)["id"])
    ipv4 = peer.ipv4
    eventually(lambda: resolve(client, f"antique.{DOMAIN}") == [ipv4], "the new name to resolve", within=5)
    assert resolve(client, f"vintage.{DOMAIN}") == ["rcode 3"]
