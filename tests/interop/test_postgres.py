"""The server on PostgreSQL: clients join, and notice nothing while the database is away, hangs or is back."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients import NEW, OLD
from tests.support.lab import Lab
from tests.support.postgres import USER, Cluster, running_cluster
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually

DATABASE = "tailnet"
EVERYBODY = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
NOBODY = '{"acls": []}'


@pytest.fixture(scope="module")
def cluster(interop_ready: None) -> Iterator[Cluster]:
    with running_cluster() as running:
        running.create_database(DATABASE)
        yield running


@pytest.fixture(scope="module")
def server(lab: Lab, cluster: Cluster) -> Server:
    place = {"host": "127.0.0.1", "port": cluster.port, "name": DATABASE, "user": USER, "pass": ""}
    started = lab.server(
        policy_mode="database", overrides={"database": {"type": "postgres", "postgres": place}}
    )
    started.create_user("ada")
    return started


@pytest.fixture(scope="module")
def pair(lab: Lab, server: Server) -> tuple[StockClient, StockClient]:
    key = server.create_key("ada", reusable=True)["key"]
    new, old = lab.client("new", version=NEW, server=server), lab.client("old", version=OLD, server=server)
    lab.join(key, new, old)
    new.wait_peers("old")
    old.wait_peers("new")
    return new, old


def set_policy(server: Server, folder: Path, text: str) -> None:
    path = folder / "acls.hujson"
    path.write_text(text)
    server.cli("policy", "set", "-f", str(path))


def users(server: Server) -> list[str]:
    return [user["name"] for user in server.cli("users", "list")]


def test_what_was_joined_and_set_survives_kill_9(
    server: Server, pair: tuple[StockClient, StockClient], tmp_path: Path
) -> None:
    before = [(client.node_key(), client.addresses()) for client in pair]
    set_policy(server, tmp_path, NOBODY)
    for client in pair:
        client.wait_peers()
    server.kill9()
    server.start()
    set_policy(server, tmp_path, EVERYBODY)
    pair[0].wait_peers("old")
    assert [(client.node_key(), client.addresses()) for client in pair] == before


def test_a_database_that_is_cut_off_is_an_error_and_no_end(
    server: Server, cluster: Cluster, pair: tuple[StockClient, StockClient]
) -> None:
    cluster.run(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false")
    cluster.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{DATABASE}'")
    refused = server.run("users", "create", "bob")
    assert refused.returncode == 1
    assert "the database does not answer" in refused.stderr
    pair[0].ping(pair[1].ipv4)
    assert pair[0].state() == "Running"
    cluster.run(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS true")
    server.create_user("bob")
    assert users(server) == ["ada", "bob"]


def test_a_database_that_hangs_delays_changes_and_loses_none(
    server: Server, cluster: Cluster, pair: tuple[StockClient, StockClient]
) -> None:
    cluster.signal(signal.SIGSTOP)
    try:
        command = server.spawn("users", "create", "carol")
        pair[0].ping(pair[1].ipv4)
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(1)
    finally:
        cluster.signal(signal.SIGCONT)
    assert command.wait(20) == 0
    eventually(lambda: "carol" in users(server), "the change to be there")
    assert {node["name"] for node in server.nodes()} == {"new", "old"}
