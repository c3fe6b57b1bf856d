"""`nodes move`, `untag`, `set-ip`."""

from __future__ import annotations

from tests.coordinator.cli.conftest import CommandLine
from tests.support.fake_tailscaled import FakeTailscaled


async def test_owners_and_addresses(cli: CommandLine) -> None:
    client = FakeTailscaled(cli.server.url, hostname="web")
    await client.register(await cli.server.auth_key())
    await cli.ok("users", "create", "bob")
    assert "belongs to bob" in await cli.ok("nodes", "move", "--identifier", "1", "--user", "bob")
    assert (await cli.json("nodes", "mv", "-i", "1", "-u", "1"))["user"]["name"] == "alice"
    await cli.ok("nodes", "tag", "-i", "1", "-t", "tag:ci")
    assert "nodes untag" in await cli.refused("nodes", "move", "-i", "1", "-u", "bob")
    assert (await cli.json("nodes", "untag", "-i", "1", "-u", "bob"))["user"]["name"] == "bob"
    assert "100.64.3.3, fd7a:115c:a1e0::1" in await cli.ok("nodes", "set-ip", "-i", "1", "--ip", "100.64.3.3")
    both = await cli.json("nodes", "set-ip", "-i", "1", "--ip", "100.64.3.4,fd7a:115c:a1e0::3")
    assert both["ipAddresses"] == ["100.64.3.4", "fd7a:115c:a1e0::3"]
    assert "not in the tailnet's prefix" in await cli.refused(
        "nodes", "set-ip", "-i", "1", "--ip", "10.0.0.1"
    )
    await client.close()
