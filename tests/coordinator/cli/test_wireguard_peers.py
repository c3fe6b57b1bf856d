"""`wireguard peers`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from coordinator.cli.wireguard_peers import size
from coordinator.wireguard.wire import Knocked
from tests.coordinator.cli.conftest import CommandLine
from tests.support.fake_gateway import FakeGateway
from tests.support.wireguard_records import public_key

STANDING = ("--service", "lab", "--permanent", "--reason", "test")
DAY = timedelta(days=1)


@pytest.fixture
async def ready(cli: CommandLine) -> CommandLine:
    body = {"name": "gw", "host": "vpn.example.com", "pools": ["10.90.0.0/24"]}
    made = await cli.server.call("POST", "/api/v1/wireguard/gateways", json=body)
    await FakeGateway(cli.server.url, str(made["token"])).start()
    return cli


async def test_the_life_of_a_peer(ready: CommandLine, tmp_path: Path) -> None:
    out = await ready.ok("wireguard", "peers", "create", public_key(1), "--name", "lab-1", *STANDING)
    assert out.startswith("[Interface]\n")
    assert "AllowedIPs = 10.90.0.1/32" in out
    assert "lab-1" in await ready.ok("wireguard", "peers", "list", "--state", "active")
    assert "lab-1 (id 1): active" in await ready.ok("wireguard", "peers", "show", "lab-1")
    picture = tmp_path / "code.svg"
    await ready.ok("wireguard", "peers", "config", "lab-1", "--svg", str(picture))
    assert picture.read_text().startswith("<svg")
    assert "█" in await ready.ok("wireguard", "peers", "config", "lab-1", "--qr")
    rotated = await ready.json("wireguard", "peers", "rotate", "lab-1", public_key(2), "--overlap", "1h")
    assert len(rotated["peer"]["keys"]) == 2
    assert "PresharedKey" in await ready.ok("wireguard", "peers", "rotate", "lab-1", "--preshared-key")
    assert "revoked" in await ready.ok("wireguard", "peers", "revoke", "lab-1")
    assert await ready.json("wireguard", "peers", "list") == []
    assert "revoked" in await ready.ok("wireguard", "peers", "show", "1")


async def test_who_is_knocking(cli: CommandLine) -> None:
    body = {"name": "gw", "host": "vpn.example.com", "pools": ["10.90.0.0/24"]}
    made = await cli.server.call("POST", "/api/v1/wireguard/gateways", json=body)
    gateway = FakeGateway(cli.server.url, str(made["token"]))
    await gateway.start()
    now = datetime.now(UTC)
    later = {"service": "lab", "permanent": True, "reason": "test", "since": (now + DAY).isoformat()}
    peer = {"publicKey": public_key(1), "name": "lab-1", **later}
    async with cli.server.api() as session, session.post("/api/v1/wireguard/peers", json=peer) as response:
        assert response.status == 201
    commands = (("wireguard", "peers", "show", "lab-1"), ("wireguard", "peers", "list"))
    assert all(["knocking" not in await cli.ok(*command) for command in commands])
    knock = Knocked(public_key=public_key(1), endpoint="192.0.2.1:4000", at=now, count=3)
    assert await gateway.report(knocks=(knock,)) == 204
    assert all(["knocking since" in await cli.ok(*command) for command in commands])
    assert "from 192.0.2.1:4000, 3 times" in await cli.ok(*commands[0])
    assert (await cli.json(*commands[0]))["knocking"]["count"] == 3


async def test_wrong_calls(ready: CommandLine) -> None:
    create = ("wireguard", "peers", "create", public_key(1))
    assert "needs --permanent or --until" in await ready.refused(*create, "--service", "x")
    assert "neither a duration" in await ready.refused(*create, "--until", "soon")
    assert "no time zone" in await ready.refused(*create, "--until", "2099-01-01T00:00:00")
    assert "publicKey" in await ready.refused("wireguard", "peers", "create", "x", *STANDING)
    assert "say what to rotate" in await ready.refused("wireguard", "peers", "rotate", "x")
    await ready.ok(*create, *STANDING)
    target = "/nowhere/there.svg"
    assert "cannot write" in await ready.refused("wireguard", "peers", "config", "1", "--svg", target)


def test_sizes() -> None:
    assert [size(number) for number in (0, 1023, 1024, 5 << 20, 3 << 50)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 MiB",
        "3072.0 TiB",
    ]
