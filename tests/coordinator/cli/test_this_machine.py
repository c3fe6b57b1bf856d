"""`access … --from-this-machine`: another command hands out the tokens in place of Tailscale's."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from coordinator.cli.output import CommandError
from coordinator.cli.this_machine import identity_token
from tests.coordinator.cli.conftest import CommandLine
from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running, running_server

POLICY = """{
  "tagOwners": {"tag:mgmt": []},
  "acls": [],
  "access": {"profiles": {"mgmt": {"src": ["ada@"], "dst": ["tag:mgmt:22"], "approvers": ["bob@"]}}},
}"""


@dataclass
class Machines:
    """A server, and for each machine a command that prints its identity token."""

    server: Running
    cli: CommandLine
    folder: Path

    async def join(self, hostname: str, auth_key: str) -> list[str]:
        """A machine; the options that speak for it."""
        client = FakeTailscaled(self.server.url, hostname=hostname)
        await client.connect()
        await client.register(auth_key)
        body = {"CapVersion": 142, "NodeKey": client.node_key, "Audience": self.server.url}
        status, _, answer = await client.request("POST", "/machine/id-token", json.dumps(body).encode())
        assert status == 200
        await client.close()
        program = self.folder / f"{hostname}.py"
        token = json.loads(answer)["id_token"]
        program.write_text(
            f"import sys\nassert sys.argv[1:] == ['id-token', {self.server.url!r}]\nprint({token!r})"
        )
        command = f"{sys.executable} {program}"
        return ["--from-this-machine", "--server", self.server.url + "/", "--tailscale", command]


@pytest.fixture
async def machines(tmp_path: Path) -> AsyncIterator[Machines]:
    async with running_server(tmp_path, POLICY) as server:
        yield Machines(server, CommandLine(server), tmp_path)


async def test_the_owner_asks_for_this_machine_and_decides_as_themself(machines: Machines) -> None:
    adas = await machines.join("adas", await machines.server.auth_key("ada"))
    phone = await machines.join("phone", await machines.server.auth_key("ada"))
    bobs = await machines.join("bobs", await machines.server.auth_key("bob"))
    cli = machines.cli
    asked = await cli.json("access", "request", "mgmt", *adas)
    assert (asked["user"], asked["node"], asked["state"]) == ("ada", "1", "requested")
    assert "somebody else has to decide" in await cli.refused("access", "approve", asked["id"], *phone)
    assert "leave `as` out" in await cli.refused("access", "approve", asked["id"], "--as", "bob", *adas)
    assert "ask from `phone`" in await cli.refused("access", "request", "mgmt", "--node", "phone", *adas)
    assert [each["id"] for each in await cli.json("access", "list", *bobs)] == [asked["id"]]
    approved = await cli.json("access", "approve", asked["id"], *bobs)
    assert (approved["state"], approved["approvals"][0]["by"]) == ("active", "bob")
    assert (await cli.json("access", "revoke", asked["id"], *adas))["end_reason"] == "given back"
    entries = await cli.json("audit", "list", "--action", "access.approve")
    assert "node" in str(entries)
    assert "bob" in str(entries)


async def test_machines_of_nobody_and_mistakes(machines: Machines) -> None:
    answer = await machines.server.call("POST", "/api/v1/preauthkey", json={"aclTags": ["tag:mgmt"]})
    tagged = await machines.join("server", str(answer["preAuthKey"]["key"]))  # type: ignore[index]
    cli = machines.cli
    assert "not to a person" in await cli.refused("access", "request", "mgmt", *tagged)
    assert "needs --server" in await cli.refused("access", "list", "--from-this-machine")
    assert "goes with" in await cli.refused("access", "list", "--server", "x")
    broken = machines.folder / "broken.py"
    broken.write_text("print('a.b.c')")
    options = ["--from-this-machine", "--server", machines.server.url]
    command = f"{sys.executable} {broken}"
    refused = await cli.refused("access", "list", *options, "--tailscale", command)
    assert "not one of this server" in refused


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/nonexistent/tailscale", "say how with --tailscale"),
        ("false", "no identity token: no answer"),
        ("sh -c 'echo not logged in >&2; exit 1'", "not logged in"),
        ("tailscale '", "--tailscale"),
    ],
)
def test_a_client_that_gives_no_token(command: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        identity_token("https://hs.example", command)
