"""`wireguard tokens`."""

from __future__ import annotations

from tests.coordinator.cli.conftest import CommandLine


async def test_the_life_of_a_token(cli: CommandLine) -> None:
    await cli.ok("users", "create", "ada")
    create = ("wireguard", "tokens", "create", "--user", "ada")
    out = await cli.ok(*create, "--permanent", "--reason", "phone", "--expiration", "2h")
    assert out.startswith("wgenrol-")
    assert "usable" in await cli.ok("wireguard", "tokens", "list")
    made = await cli.json(*create, "--until", "7d", "--reason", "phone")
    assert made["token"]["until"]
    assert "revoked" in await cli.ok("wireguard", "tokens", "revoke", "1")
    assert "access profile" in await cli.refused(*create)
    assert "--expiration" in await cli.refused(*create, "--expiration", "x")
