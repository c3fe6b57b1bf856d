"""Devices that wait for an administrator, as stock clients show it."""

import time

import pytest

from tests.interop.conftest import NewClient
from tests.support.clients import VERSIONS
from tests.support.lab import Lab
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually, holds

AT_ONCE_S = 1.0


@pytest.fixture(scope="module")
def server(lab: Lab) -> Server:
    """New devices wait, but for bob's."""
    overrides = {"node": {"approval_required": True, "approval_exempt_users": ["bob"]}}
    started = lab.server(overrides=overrides)
    started.create_user("ada")
    started.create_user("bob")
    return started


@pytest.fixture(scope="module")
def watcher(lab: Lab, server: Server, bob_key: str) -> StockClient:
    """A peer of an exempt user."""
    client = lab.client("watcher")
    client.up(bob_key)
    client.wait_state("Running")
    return client


def begin(client: StockClient, key: str) -> None:
    """`up` would wait for the approval; it is given up, and the daemon goes on."""
    client.tailscale(
        "up", f"--login-server={client.login_server}", f"--auth-key={key}",
        f"--hostname={client.name}", "--accept-dns=false", "--timeout=5s", check=False,
    )  # fmt: skip
    client.wait_state("NeedsMachineAuth")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_device_waits_and_runs_within_a_second_of_its_approval(
    server: Server, ada_key: str, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("wait", version=version)
    begin(client, ada_key)
    node = server.node(client.name)
    assert node["approval"] == "pending"
    assert client.peers() == {}
    holds(lambda: client.name not in watcher.peers(), "the device to stay unseen", seconds=1)
    asked = time.monotonic()
    server.cli("nodes", "approve", "--identifier", node["id"])
    decided = time.monotonic()
    eventually(lambda: client.state() == "Running", "the device to run", within=AT_ONCE_S)
    print(f"{version}: running {time.monotonic() - decided:.2f} s after a command of {decided - asked:.2f} s")
    watcher.wait_online(client.name)
    watcher.ping(client.ipv4)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_rejected_device_is_told_so(
    server: Server, ada_key: str, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    client = new_client("reject", version=version)
    begin(client, ada_key)
    server.cli("nodes", "reject", "--identifier", server.node(client.name)["id"])
    eventually(lambda: client.state() == "NeedsLogin", "the device to need a login", within=3)
    client.stop()
    client.start()
    said = client.up_refused(ada_key)
    assert "rejected this device" in said, said
    assert client.name not in watcher.peers()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pre_approved_key_needs_nobody(
    server: Server, watcher: StockClient, new_client: NewClient, version: str
) -> None:
    key = server.cli("preauthkeys", "create", "--user", "ada", "--pre-approved")["key"]
    client = new_client("preok", version=version)
    client.up(key)
    client.wait_state("Running")
    watcher.wait_online(client.name)
