"""`users`."""

from __future__ import annotations

from tests.coordinator.cli.conftest import CommandLine


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
