"""`nodes rotate`."""

from __future__ import annotations

from tests.coordinator.cli.conftest import CommandLine
from tests.support.fake_tailscaled import FakeTailscaled


async def test_rotate(cli: CommandLine) -> None:
    client = FakeTailscaled(cli.server.url, hostname="web")
    await client.connect()
    await client.register(await cli.server.auth_key())
    await client.close()
    assert "web" in await cli.ok("nodes", "rotate", "1")
    (node,) = await cli.json("nodes", "rotate", "1", "--within", "14d")
    assert node["expiry"] is not None
    assert "new one asked for" in await cli.ok("inventory", "list")
    assert "No key is that old" in await cli.ok("nodes", "rotate", "--older-than", "180d", "--user", "alice")
    assert "say which keys" in await cli.refused("nodes", "rotate")
    assert "node 9 does not exist" in await cli.refused("nodes", "rotate", "1", "9")
    assert "`nobody` does not exist" in await cli.refused(
        "nodes", "rotate", "--older-than", "1d", "--user", "nobody"
    )
