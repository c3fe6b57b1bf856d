"""Both client versions join, see each other, and talk directly."""

import ipaddress

import pytest

from tests.interop.traffic import echo_server, tcp_echo
from tests.support.clients import NEW, OLD, VERSIONS
from tests.support.lab import Lab
from tests.support.server_process import DOMAIN, Server
from tests.support.stock_client import StockClient

PAIRS = [(NEW, OLD), (OLD, NEW), (NEW, NEW), (OLD, OLD)]


@pytest.fixture(scope="module")
def joined(lab: Lab, server: Server, ada_key: str) -> dict[tuple[str, int], StockClient]:
    """Two running clients of each version; every one sees the three others."""
    found = {}
    for version in VERSIONS:
        for number in (1, 2):
            client = lab.client(f"{'n' if version == NEW else 'o'}{number}", version=version)
            found[version, number] = client
    lab.join(ada_key, *found.values())
    names = {client.name for client in found.values()}
    for client in found.values():
        client.wait_peers(*(names - {client.name}))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_up_ends_in_running_with_addresses_and_a_name(
    joined: dict[tuple[str, int], StockClient], version: str
) -> None:
    client = joined[version, 1]
    own = client.status()
    assert own["BackendState"] == "Running"
    ipv4, ipv6 = client.addresses()
    assert ipaddress.ip_address(ipv4) in ipaddress.ip_network("100.64.0.0/10")
    assert ipaddress.ip_address(ipv6) in ipaddress.ip_network("fd7a:115c:a1e0::/48")
    assert own["Self"]["DNSName"] == f"{client.name}.{DOMAIN}."
    assert own["CurrentTailnet"]["MagicDNSSuffix"] == DOMAIN
    assert own["User"][str(own["Self"]["UserID"])]["LoginName"].startswith("ada")


def test_the_server_lists_what_the_clients_say_of_themselves(
    server: Server, joined: dict[tuple[str, int], StockClient]
) -> None:
    nodes = {node["name"]: node for node in server.nodes()}
    for client in joined.values():
        node = nodes[client.name]
        assert node["ipAddresses"] == client.addresses()
        assert node["nodeKey"] == client.node_key()
        assert node["online"] is True
        assert node["user"]["name"] == "ada"
    assert len({node["id"] for node in nodes.values()}) == len(nodes)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_ping_is_direct(joined: dict[tuple[str, int], StockClient], source: str, target: str) -> None:
    a, b = joined[source, 1], joined[target, 2]
    pong = a.ping(b.ipv4)
    assert pong.via.startswith(f"{b.host.address}:")
    assert a.answers_icmp(b.ipv4)
    assert a.answers_icmp(b.addresses()[1]), "IPv6 inside the tunnel"


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_tcp_through_the_tunnel(joined: dict[tuple[str, int], StockClient], source: str, target: str) -> None:
    a, b = joined[source, 1], joined[target, 2]
    with echo_server(b):
        tcp_echo(a, b.ipv4, size=4_000_000)


def test_peers_are_shown_online_and_offline_again(
    lab: Lab, joined: dict[tuple[str, int], StockClient], ada_key: str
) -> None:
    new, old = joined[NEW, 1], joined[OLD, 1]
    guest = lab.client("guest")
    guest.up(ada_key)
    for watcher in (new, old):
        watcher.wait_online("guest")
    guest.stop()
    for watcher in (new, old):
        watcher.wait_online("guest", False, within=20)
    guest.start()
    for watcher in (new, old):
        watcher.wait_online("guest")


def test_the_same_host_name_twice_gets_two_names(lab: Lab, server: Server, ada_key: str) -> None:
    first, second = lab.client("twin-a"), lab.client("twin-b", version=OLD)
    first.up(ada_key, hostname="twin")
    second.up(ada_key, hostname="twin")
    names = {client.status()["Self"]["DNSName"] for client in (first, second)}
    assert f"twin.{DOMAIN}." in names
    assert len(names) == 2
