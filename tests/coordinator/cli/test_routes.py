"""The `routes` of older releases."""

from __future__ import annotations

from tests.coordinator.cli.conftest import CommandLine
from tests.support.fake_tailscaled import FakeTailscaled


async def test_routes_by_node_and_prefix(cli: CommandLine) -> None:
    client = FakeTailscaled(cli.server.url, hostname="web")
    await client.connect()
    await client.register(await cli.server.auth_key())
    await client.lite_update(Hostinfo={"Hostname": "web", "RoutableIPs": ["10.0.0.0/24", "10.0.1.0/24"]})

    assert "10.0.1.0/24" in await cli.ok("routes", "list", "-i", "1")
    await cli.ok("routes", "enable", "-i", "1", "-r", "10.0.0.0/24")
    assert (await cli.json("routes", "enable", "-i", "1", "-a"))["approvedRoutes"] == [
        "10.0.0.0/24",
        "10.0.1.0/24",
    ]
    disabled = await cli.json("routes", "disable", "-i", "1", "-r", "10.0.0.0/24")
    assert disabled["approvedRoutes"] == ["10.0.1.0/24"]
    await client.close()


async def test_route_ids_are_answered_with_what_to_run(cli: CommandLine) -> None:
    for call in (["enable", "-r", "3"], ["disable", "-i", "1", "-r", "3"], ["enable", "-a"]):
        assert "nodes approve-routes --identifier NODE" in await cli.refused("routes", *call)
    assert "routes disable" in await cli.refused("routes", "delete", "-r", "3")
