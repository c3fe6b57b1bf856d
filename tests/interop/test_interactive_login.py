"""Joining without a key: the client shows a link, somebody lets it in, `tailscale up` ends."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.interop.conftest import NewClient
from tests.support.clients import VERSIONS
from tests.support.server_process import CommandFailedError, Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually


@contextmanager
def waiting_up(client: StockClient) -> Iterator[subprocess.Popen[str]]:
    """`tailscale up` in the background, ended when the test is done with it."""
    process = client.spawn_up()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def link(client: StockClient) -> str:
    return str(eventually(lambda: client.status().get("AuthURL"), f"{client.name} to show a link"))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_person_lets_a_machine_in(server: Server, new_client: NewClient, version: str) -> None:
    client = new_client("asks", version=version)
    with waiting_up(client) as up:
        url = link(client)
        assert url.startswith(f"{server.url}/register/")
        assert client.state() == "NeedsLogin"
        server.cli("auth", "register", "--user", "ada", "--auth-id", url.rsplit("/", 1)[1])
        output, _ = up.communicate(timeout=15)
    assert up.returncode == 0, output
    assert url in output
    client.wait_state("Running")
    node = server.node(client.name)
    assert node["user"]["name"] == "ada"
    assert node["registerMethod"] == "REGISTER_METHOD_CLI"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_wait_survives_a_server_restart(server: Server, new_client: NewClient, version: str) -> None:
    client = new_client("patient", version=version)
    with waiting_up(client) as up:
        first = link(client)
        server.kill9()
        server.start()
        # The new server does not know the old link; the waiting client is given another one.
        eventually(lambda: client.status().get("AuthURL") not in ("", first), "another link", within=20)
        second = link(client)
        with pytest.raises(CommandFailedError):
            server.cli("auth", "register", "--user", "ada", "--auth-id", first.rsplit("/", 1)[1])
        server.cli("auth", "register", "--user", "ada", "--auth-id", second.rsplit("/", 1)[1])
        output, _ = up.communicate(timeout=15)
    assert up.returncode == 0, output
    client.wait_state("Running")
