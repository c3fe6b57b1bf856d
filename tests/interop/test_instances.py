"""Two instances on one PostgreSQL: stock clients of both are one tailnet."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.test_interactive_login import link, waiting_up
from tests.interop.test_postgres import EVERYBODY, NOBODY, set_policy, users
from tests.support.clients import NEW, OLD
from tests.support.lab import Lab
from tests.support.postgres import USER, Cluster, running_cluster
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually

DATABASE = "instances"


@pytest.fixture(scope="module")
def cluster(interop_ready: None) -> Iterator[Cluster]:
    with running_cluster() as running:
        running.create_database(DATABASE)
        yield running


@pytest.fixture(scope="module")
def servers(lab: Lab, cluster: Cluster) -> tuple[Server, Server]:
    place = {"host": "127.0.0.1", "port": cluster.port, "name": DATABASE, "user": USER, "pass": ""}
    overrides = {"database": {"type": "postgres", "postgres": place}}
    first = lab.server(policy_mode="database", overrides=overrides)
    second = lab.server(policy_mode="database", overrides=overrides, start=False)
    (second.folder / "noise.key").write_bytes((first.folder / "noise.key").read_bytes())
    second.start()
    return first, second


@pytest.fixture(scope="module")
def pair(lab: Lab, servers: tuple[Server, Server]) -> tuple[StockClient, StockClient]:
    """One client at each; the key was made at the other one."""
    first, second = servers
    first.create_user("ada")
    key = second.create_key("ada", reusable=True)["key"]
    new = lab.client("new", version=NEW, server=first)
    old = lab.client("old", version=OLD, server=second)
    lab.join(key, new, old)
    new.wait_peers("old")
    old.wait_peers("new")
    return new, old


def presence(server: Server) -> dict[str, bool]:
    return {node["name"]: node["online"] for node in server.nodes()}


def test_clients_of_both_are_one_tailnet(
    servers: tuple[Server, Server], pair: tuple[StockClient, StockClient]
) -> None:
    new, old = pair
    new.ping(old.ipv4)
    old.ping(new.ipv4)
    assert [presence(server) for server in servers] == [{"new": True, "old": True}] * 2


def test_a_policy_set_at_one_holds_at_both(
    servers: tuple[Server, Server], pair: tuple[StockClient, StockClient], tmp_path: Path
) -> None:
    set_policy(servers[0], tmp_path, NOBODY)
    for client in pair:
        client.wait_peers()
    set_policy(servers[1], tmp_path, EVERYBODY)
    pair[0].wait_peers("old")
    pair[1].wait_peers("new")
    pair[0].ping(pair[1].ipv4)


def test_what_is_made_at_one_is_there_at_the_other_at_once(servers: tuple[Server, Server]) -> None:
    for number in range(10):
        servers[number % 2].create_user(f"user{number}")
        servers[(number + 1) % 2].create_key(f"user{number}")
    assert users(servers[0]) == users(servers[1])
    assert [int(each["id"]) for each in servers[0].cli("users", "list")] == list(range(1, 12))
    assert servers[0].run("audit", "verify").returncode == 0


def test_a_client_is_offline_for_both_when_it_leaves(
    lab: Lab, servers: tuple[Server, Server], pair: tuple[StockClient, StockClient]
) -> None:
    pair[1].tailscale("down")
    apart = [{"new": True, "old": False}] * 2
    eventually(lambda: [presence(server) for server in servers] == apart, "both to know", within=20)
    pair[1].up()
    pair[0].wait_peers("old")
    pair[0].ping(pair[1].ipv4)


def test_a_machine_that_waits_at_one_is_let_in_at_the_other(
    lab: Lab, servers: tuple[Server, Server], pair: tuple[StockClient, StockClient]
) -> None:
    client = lab.client("guest", version=NEW, server=servers[0])
    with waiting_up(client) as up:
        url = link(client)
        began = time.monotonic()
        servers[1].cli("auth", "register", "--user", "ada", "--auth-id", url.rsplit("/", 1)[1])
        assert up.wait(timeout=10) == 0
    print(f"let in after {time.monotonic() - began:.1f} s")
    client.wait_peers("new", "old")
    guest = next(node["id"] for node in servers[0].nodes() if node["name"] == "guest")
    servers[0].cli("nodes", "delete", "--force", "--identifier", str(guest))
    pair[1].wait_peers("new")


def test_the_end_of_one_is_borne_by_the_other(
    servers: tuple[Server, Server], pair: tuple[StockClient, StockClient]
) -> None:
    first, second = servers
    first.kill9()
    second.create_user("while-away")
    pair[1].ping(pair[0].ipv4)
    began = time.monotonic()
    first.start()
    assert "while-away" in users(first)
    print(f"back after {time.monotonic() - began:.1f} s")
    pair[0].ping(pair[1].ipv4)
    eventually(
        lambda: all(node["online"] for server in servers for node in server.nodes()),
        "everybody to be online for both",
        within=60,
    )
