"""Asking for access from a stock client's machine, without an API key."""

import shlex
from typing import Any

import pytest

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
            "mgmt": {"src": ["group:ops"], "dst": ["tag:mgmt:*"], "approvers": ["group:leads"]},
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
