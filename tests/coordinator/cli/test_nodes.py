"""`nodes` and `auth`."""

from __future__ import annotations

import re

from tests.coordinator.cli.conftest import CommandLine
from tests.support.fake_tailscaled import FakeTailscaled


async def test_the_life_of_a_node(cli: CommandLine) -> None:
    client = FakeTailscaled(cli.server.url, hostname="web")
    await client.connect()
    await client.register(await cli.server.auth_key())
    await client.lite_update(Hostinfo={"Hostname": "web", "RoutableIPs": ["10.0.0.0/24"]})
    (node,) = await cli.json("nodes", "list")
    assert (node["givenName"], node["online"]) == ("web", False)
    assert "100.64.0.1" in await cli.ok("machines", "ls", "--user", "alice")
    await cli.ok("nodes", "rename", "other", "--identifier", "1")
    await cli.ok("nodes", "tag", "--identifier", "1", "--tags", "tag:production")
    listed = await cli.ok("nodes", "list")
    assert "tagged-devices" in listed
    assert re.search(r"\| \[[A-Za-z0-9+/]{5}\] +\| \[[A-Za-z0-9+/]{5}\] +\|", listed)
    await cli.ok("nodes", "approve-routes", "-i", "1", "-r", "10.0.0.0/24")
    assert "10.0.0.0/24" in await cli.ok("nodes", "list-routes")
    assert (await cli.json("nodes", "expire", "-i", "1"))["expired"] is True
    assert (await cli.json("nodes", "expire", "-i", "1", "--disable"))["expired"] is False
    await cli.ok("nodes", "expire", "-i", "1")
    assert (await cli.json("nodes", "extend", "-i", "1", "--for", "30d"))["expired"] is False
    assert (await cli.json("nodes", "disable-expiry", "-i", "1"))["expiry"] is None
    assert "never expires" in await cli.refused("nodes", "extend", "-i", "1", "--for", "30d")
    assert "not deleted" in await cli.ok("nodes", "delete", "-i", "1")
    assert await cli.json("nodes", "delete", "-i", "1", "--force") == {"Result": "Node deleted"}
    assert "does not exist" in await cli.refused("nodes", "delete", "-i", "1", "--force")
    await client.close()


async def test_a_waiting_machine_is_let_in(cli: CommandLine) -> None:
    await cli.ok("users", "create", "alice")
    for spelling in (
        ["auth", "register", "--user", "alice", "--auth-id"],
        ["nodes", "register", "-u", "alice", "--key"],
    ):
        client = FakeTailscaled(cli.server.url)
        await client.connect()
        login_id = (await client.register())["AuthURL"].rpartition("/")[2]
        assert "joined" in await cli.ok(*spelling, login_id)
        assert (await client.register())["MachineAuthorized"]
        await client.close()


async def test_mistakes_when_letting_a_machine_in(cli: CommandLine) -> None:
    await cli.ok("users", "create", "alice")
    old = await cli.refused("nodes", "register", "--user", "alice", "--key", "mkey:" + "00" * 32)
    assert "auth register --user alice --auth-id" in old
    assert "is empty" in await cli.refused("auth", "register", "--user", "", "--auth-id", "x")


async def test_posture_attributes(cli: CommandLine) -> None:
    client = FakeTailscaled(cli.server.url)
    await client.connect()
    await client.register(await cli.server.auth_key())
    await client.close()
    set_ = ["--set", "custom:tier=prod", "--set", "custom:level=3", "--set", "custom:managed=true"]
    found = await cli.json("nodes", "attributes", "-i", "1", *set_)
    wanted = {"custom:tier": "prod", "custom:level": 3, "custom:managed": True, "node:os": "linux"}
    assert wanted.items() <= found.items()
    assert "custom:tier" not in await cli.json("nodes", "attributes", "-i", "1", "--unset", "custom:tier")
    assert "NAME=VALUE" in await cli.refused("nodes", "attributes", "-i", "1", "--set", "custom:tier")
    assert "custom:" in await cli.refused("nodes", "attributes", "-i", "1", "--set", "tier=prod")


async def test_a_device_is_approved_and_rejected(cli: CommandLine) -> None:
    client = FakeTailscaled(cli.server.url, hostname="web")
    await client.connect()
    await client.register(await cli.server.auth_key())
    assert "is approved" in await cli.ok("nodes", "approve", "--identifier", "1")
    assert "is rejected" in await cli.ok("nodes", "reject", "--identifier", "1")
    assert "rejected" in await cli.ok("nodes", "list")
    assert "final for its key" in await cli.refused("nodes", "approve", "--identifier", "1")
    await client.close()
