"""`wireguard gateways`."""

from __future__ import annotations

from tests.coordinator.cli.conftest import CommandLine
from tests.support.fake_gateway import FakeGateway

CREATE = ("wireguard", "gateways", "create", "gw", "--host", "vpn.example.com")


async def test_the_life_of_a_gateway(cli: CommandLine) -> None:
    out = await cli.ok(
        *CREATE, "--pool", "10.90.0.0/24,fd00:90::/64", "--team-pool", "group:ops=10.91.0.0/24"
    )
    token = out.strip()
    assert token.startswith("wggateway-")
    assert "never" in await cli.ok("wireguard", "gateways", "list")
    await FakeGateway(cli.server.url, token).start()
    shown = await cli.ok("wireguard", "gateways", "show", "gw")
    assert "pool group:ops: 10.91.0.0/24" in shown
    assert "as wished: yes" in shown
    (found,) = await cli.json("wireguard", "gateways", "list")
    assert found["addresses"] == ["10.90.0.1", "fd00:90::1", "10.91.0.1"]
    assert "port 51821" in await cli.ok("wireguard", "gateways", "rotate-key", "gw", "--overlap", "1h")
    assert (await cli.ok("wireguard", "gateways", "rotate-token", "1")).strip() != token
    assert "Gateway deleted" in await cli.ok("wireguard", "gateways", "delete", "gw")


async def test_wrong_calls(cli: CommandLine) -> None:
    assert "needs a pool" in await cli.refused(*CREATE)
    assert "TEAM=NETWORK" in await cli.refused(*CREATE, "--team-pool", "10.91.0.0/24")
    assert "there are: none so far" in await cli.refused("wireguard", "gateways", "show", "gw")
