"""`users link`, `unlink`, `identities`."""

from __future__ import annotations

from tests.coordinator.cli.conftest import CommandLine


async def test_link_list_unlink(cli: CommandLine) -> None:
    await cli.ok("users", "create", "ada")
    await cli.ok("users", "create", "bob")
    identity = "https://id.example/a-1"
    assert "logs in as user ada" in await cli.ok("users", "link", "--identifier", "1", identity)
    assert "is user `ada` (id 1)" in await cli.refused("users", "link", "-i", "bob", identity)
    assert identity in await cli.ok("users", "identities", "-i", "ada")
    assert (await cli.json("users", "unlink", "-i", "ada", identity))["providerId"] == ""
    assert "write ISSUER/SUBJECT" in await cli.refused("users", "link", "-i", "ada", "a-1")
