"""`users`."""

from __future__ import annotations

from tests.coordinator.cli.conftest import CommandLine
from tests.support.fake_tailscaled import FakeTailscaled


async def test_the_life_of_a_user(cli: CommandLine) -> None:
    user = await cli.json("users", "create", "alice", "--display-name", "A", "-e", "a@b.c")
    assert (user["id"], user["displayName"]) == ("1", "A")
    assert "alice" in await cli.ok("user", "ls")
    assert "a@b.c" in await cli.ok("namespaces", "list", "--name", "alice")
    await cli.ok("users", "rename", "--name", "alice", "--new-name", "bob")
    await cli.ok("users", "rename", "bob", "carol")
    assert [each["name"] for each in await cli.json("users", "list", "-i", "1")] == ["carol"]
    assert "not destroyed" in await cli.ok("users", "destroy", "carol")
    assert "User destroyed" in await cli.ok("users", "destroy", "carol", "--force")
    assert await cli.json("users", "list") == []


async def test_mistakes_name_what_to_do(cli: CommandLine) -> None:
    assert "must start with a letter" in await cli.refused("users", "create", "1x")
    assert "`nobody` does not exist" in await cli.refused("users", "destroy", "--name", "nobody", "--force")
    await cli.ok("users", "create", "alice")
    assert "`1` does not exist" in await cli.refused("users", "destroy", "--name", "1", "--force")
    assert "`alice` does not exist" in await cli.refused("users", "destroy", "-i", "alice", "--force")
    assert "say which user" in await cli.refused("users", "destroy")
    assert '{"error":' in await cli.refused("users", "create", "1x", "--output", "json")


async def test_roles_and_suspension(cli: CommandLine) -> None:
    user = await cli.json("users", "create", "alice")
    assert (user["role"], user["suspended"]) == ("member", False)
    assert (await cli.json("users", "set-role", "alice", "admin"))["role"] == "admin"
    assert (await cli.json("users", "set-role", "-i", "1", "auditor"))["role"] == "auditor"
    assert "use one of owner, admin" in await cli.refused("users", "set-role", "--name", "alice", "king")
    assert "NAME ROLE" in await cli.refused("users", "set-role", "a", "b", "c")
    assert "network-admin" in await cli.ok("users", "roles")
    assert "suspended" in await cli.ok("users", "suspend", "alice")
    assert "auditor | suspended" in await cli.ok("users", "list")
    assert "is suspended" in await cli.refused("preauthkeys", "create", "-u", "alice")
    assert "active" in await cli.ok("users", "restore", "-n", "alice")
    assert "say which user" in await cli.refused("users", "suspend")


async def test_a_user_with_nodes(cli: CommandLine) -> None:
    client = FakeTailscaled(cli.server.url, hostname="web")
    await client.register(await cli.server.auth_key())
    assert "web (id 1)" in await cli.refused("users", "destroy", "alice", "--force")
    assert "User destroyed" in await cli.ok("users", "destroy", "alice", "--with-nodes", "--force")
    assert await cli.json("nodes", "list") == []
    await client.close()
