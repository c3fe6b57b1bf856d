"""Clients that cannot reach each other directly talk through the embedded relay."""

import pytest

from tests.interop.traffic import echo_server, tcp_echo
from tests.support.clients import NEW, OLD
from tests.support.lab import Lab
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually

PAIRS = [(NEW, OLD), (OLD, NEW), (NEW, NEW), (OLD, OLD)]
ALWAYS_RELAY = {"TS_DEBUG_ALWAYS_USE_DERP": "1"}


def block_udp_between_clients(client: StockClient, server: Server) -> None:
    """Let no UDP leave this host's interface, except to the server (STUN)."""
    rules = f"""
    table inet lab {{
      chain output {{
        type filter hook output priority 0; policy accept;
        oifname "eth0" ip daddr {server.address} accept
        oifname "eth0" meta l4proto udp drop
      }}
    }}
    """
    done = client.run("nft", "-f", "-", stdin=rules)
    assert done.returncode == 0, done.stderr


def wait_relay_chosen(client: StockClient) -> None:
    eventually(lambda: client.status()["Self"].get("Relay") == "lab", f"{client.name} to choose the relay")


@pytest.fixture(scope="module")
def relayed(lab: Lab, server: Server, ada_key: str) -> dict[tuple[str, int], StockClient]:
    """Clients that were told to use nothing but the relay."""
    found = {}
    for version in (NEW, OLD):
        for number in (1, 2):
            name = f"{'n' if version == NEW else 'o'}{number}"
            found[version, number] = lab.client(name, version=version, env=ALWAYS_RELAY)
    lab.join(ada_key, *found.values())
    for client in found.values():
        wait_relay_chosen(client)
    return found


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_ping_and_tcp_when_told_to_relay(
    relayed: dict[tuple[str, int], StockClient], source: str, target: str
) -> None:
    a, b = relayed[source, 1], relayed[target, 2]
    pong = a.ping(b.ipv4, until_direct=False)
    assert pong.via == "DERP(lab)"
    with echo_server(b):
        tcp_echo(a, b.ipv4, size=4_000_000)


@pytest.mark.parametrize(("source", "target"), [(NEW, OLD), (OLD, NEW)])
def test_ping_and_tcp_when_udp_is_blocked(
    lab: Lab, server: Server, ada_key: str, source: str, target: str
) -> None:
    names = ("wall-a", "wall-b") if source == NEW else ("wall-c", "wall-d")
    pair = [lab.client(name, version=version) for name, version in zip(names, (source, target), strict=True)]
    for client in pair:
        block_udp_between_clients(client, server)
    lab.join(ada_key, *pair)
    for client in pair:
        wait_relay_chosen(client)
    a, b = pair
    a.wait_online(b.name)
    pong = a.ping(b.ipv4, until_direct=False)
    assert pong.via == "DERP(lab)"
    with echo_server(b):
        tcp_echo(a, b.ipv4)
    assert a.peers()[b.name]["CurAddr"] == ""


def test_a_client_finds_its_own_address_by_stun(lab: Lab, ada_key: str) -> None:
    client = lab.client("stun")
    client.up(ada_key)
    output = client.tailscale("netcheck", "--format=json-line", check=False)
    assert f'"GlobalV4":"{client.host.address}:' in output.replace(" ", ""), output


def test_the_relay_refuses_keys_that_are_no_nodes(lab: Lab, server: Server) -> None:
    # Another tailnet's node, pointed at this relay: same network, its own server.
    other = lab.server()
    other.create_user("eve")
    key = other.create_key("eve", reusable=True)["key"]
    redirect = {"TS_DEBUG_USE_DERP_ADDR": f"{server.address}:{server.ports.relay_tls}"}
    strangers = [lab.client(name, server=other, env=ALWAYS_RELAY | redirect) for name in ("eve1", "eve2")]
    lab.join(key, *strangers)
    a, b = strangers
    a.wait_peers("eve2")
    output = a.tailscale("ping", "--c=2", "--timeout=1s", "--until-direct=false", b.ipv4, check=False)
    assert "pong" not in output
