"""Asking for access from a stock client's machine, without an API key."""

import shlex
import time
from typing import Any

import pytest

from tests.interop.conftest import NewClient
from tests.support.clients import NEW, OLD
from tests.support.lab import Lab
from tests.support.server_process import PROGRAM, Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually

POLICY: dict[str, Any] = {
    "groups": {"group:ops": ["ada@"], "group:leads": ["bob@"]},
    "tagOwners": {"tag:mgmt": [], "tag:contractor": []},
    "acls": [],
    "access": {
        "profiles": {
            "mgmt": {
                "src": ["group:ops"],
                "dst": ["tag:mgmt:*"],
                "approvers": ["group:leads"],
                "mint": {"tags": ["tag:contractor"]},
            },
        }
    },
}


@pytest.fixture(scope="module")
def machines(
    lab: Lab, server: Server, ada_key: str, bob_key: str
) -> tuple[StockClient, StockClient, StockClient]:
    """ada's and bob's laptops, of one version each, and a management server."""
    server.write_policy(POLICY)
    adas, bobs, target = (
        lab.client("adas", version=NEW),
        lab.client("bobs", version=OLD),
        lab.client("target", version=NEW),
    )
    adas.up(ada_key)
    bobs.up(bob_key)
    target.up(str(server.create_key(tags=["tag:mgmt"])["key"]))
    return adas, bobs, target


def access(client: StockClient, server: Server, *arguments: str) -> tuple[int, str]:
    """`coordinator access …` on a client's machine, in its owner's name."""
    tailscale = shlex.join([str(client.binaries.tailscale), f"--socket={client.folder / 's'}"])
    options = ("--from-this-machine", "--server", server.url, "--tailscale", tailscale)
    done = client.run(str(PROGRAM), "access", *arguments, *options)
    return done.returncode, done.stdout + done.stderr


def test_people_ask_and_approve_from_their_own_machines(
    server: Server, machines: tuple[StockClient, StockClient, StockClient]
) -> None:
    adas, bobs, target = machines
    code, said = access(adas, server, "request", "mgmt", "--for", "1h", "--reason", "disk")
    assert (code, "mgmt for ada is requested" in said) == (0, True), said
    number = server.cli("access", "list")[0]["id"]
    code, said = access(adas, server, "approve", number)
    assert (code, "somebody else has to decide" in said) == (1, True), said
    assert adas.peers() == {}
    code, said = access(bobs, server, "approve", number)
    assert code == 0, said
    eventually(lambda: "target" in adas.peers(), "the target at ada's laptop", within=1)
    code, said = access(target, server, "list")
    assert (code, "not to a person" in said) == (1, True), said
    code, said = access(adas, server, "revoke", number)
    assert code == 0, said
    eventually(lambda: adas.peers() == {}, "the end", within=1)


def opened_for_a_contractor(server: Server, duration: str) -> tuple[str, str]:
    """A window for a machine from outside: its id, and the key of the machine."""
    asked = server.cli("access", "request", "mgmt", "--mint", "--user", "ada", "--for", duration)
    number = str(asked["id"])
    assert "key" not in server.cli("access", "approve", number, "--as", "bob")
    return number, str(server.cli("access", "key", number, "--as", "ada")["key"])


@pytest.mark.parametrize("version", [NEW, OLD])
def test_a_contractors_machine_comes_and_vanishes_with_its_window(
    server: Server,
    machines: tuple[StockClient, StockClient, StockClient],
    new_client: NewClient,
    version: str,
) -> None:
    adas, _, target = machines
    _, key = opened_for_a_contractor(server, "12s")
    contractor, second = new_client("contractor", version=version), new_client("second", version=version)
    began = time.monotonic()
    contractor.up(key)
    assert "already used" in second.up_refused(key)
    eventually(lambda: "target" in contractor.peers(), "the target at the contractor's", within=2)
    contractor.ping(target.ipv4)
    assert set(contractor.peers()) == {"target"}
    assert adas.peers() == {}
    eventually(lambda: not target.peers(), "the contractor to be gone", within=15, every=0.01)
    assert time.monotonic() - began < 13.5
    contractor.wait_state("NeedsLogin")
    assert contractor.name not in str(server.cli("nodes", "list"))


def test_a_window_that_ends_while_the_server_is_down_takes_its_machine_along(
    server: Server,
    machines: tuple[StockClient, StockClient, StockClient],
    new_client: NewClient,
) -> None:
    target = machines[2]
    _, unused = opened_for_a_contractor(server, "8s")
    _, key = opened_for_a_contractor(server, "8s")
    contractor = new_client("contractor")
    contractor.up(key)
    eventually(lambda: contractor.name in target.peers(), "the contractor at the target", within=2)
    server.kill9()
    time.sleep(8)
    server.start()
    assert contractor.name not in str(server.cli("nodes", "list")), "before anybody can connect"
    eventually(lambda: not target.peers(), "the contractor to be gone", within=15)
    contractor.wait_state("NeedsLogin")
    assert "revoked" in new_client("late").up_refused(unused)
