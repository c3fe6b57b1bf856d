"""/api/v1/wireguard/peers on the socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.fake_gateway import FakeGateway
from tests.support.server_in_process import Running, running_server
from tests.support.wireguard_records import public_key

BASE = "/api/v1/wireguard/peers"
STANDING = {"service": "lab", "permanent": True, "reason": "test"}


@pytest.fixture
async def ready(server: Running) -> Running:
    body = {"name": "gw", "host": "vpn.example.com", "pools": ["10.90.0.0/24", "fd00:90::/64"]}
    made: Any = await server.call("POST", "/api/v1/wireguard/gateways", json=body)
    await FakeGateway(server.url, made["token"]).start()
    return server


async def create(session: aiohttp.ClientSession, number: int, **more: Any) -> tuple[int, Any]:
    body = {"publicKey": public_key(number), **STANDING, **more}
    async with session.post(BASE, json=body) as response:
        return response.status, await response.json()


async def test_made_once_and_answered_again(ready: Running) -> None:
    async with ready.api() as session:
        status, made = await create(session, 1, name="lab-1", presharedKey=True)
        assert status == 201
        assert await create(session, 1, name="lab-1", presharedKey=True) == (200, made)
        assert made["config"]["addresses"] == ["10.90.0.2/32", "fd00:90::2/128"]
        assert made["config"]["gateway_public_key"] == public_key("gw key-1")
        assert made["config"]["preshared_key"]
        status, answer = await create(session, 1, name="lab-2")
        assert status == 409
        assert answer["code"] == 6
        assert (await create(session, 2, name="lab-1"))[0] == 409


async def test_lists_and_single_ones(ready: Running) -> None:
    async with ready.api() as session:
        await create(session, 1, name="one")
        await create(session, 2, name="two", until="2099-01-01T00:00:00Z", permanent=False)
        await session.delete(f"{BASE}/one")
    listed: Any = await ready.call("GET", BASE)
    assert [each["name"] for each in listed["peers"]] == ["two"]
    everything: Any = await ready.call("GET", f"{BASE}?all=true&state=ended")
    assert [(each["name"], each["end_reason"]) for each in everything["peers"]] == [("one", "revoked")]
    assert await ready.call("GET", f"{BASE}?state=ended") == everything
    async with ready.api() as session, session.get(f"{BASE}?state=endd") as response:
        assert response.status == 400
        assert "none of active, waiting, scheduled, ended" in (await response.json())["detail"]
    nobodys: Any = await ready.call("GET", f"{BASE}?user=ada")
    assert nobodys["peers"] == []
    shown: Any = await ready.call("GET", f"{BASE}/two")
    assert shown["peer"]["until"] == "2099-01-01T00:00:00Z"


async def test_configurations(ready: Running) -> None:
    async with ready.api() as session:
        await create(session, 1, name="one")
        async with session.get(f"{BASE}/one/config?format=conf") as response:
            text = await response.text()
            assert text.startswith("[Interface]\n# one,")
        async with session.get(f"{BASE}/one/config?format=svg") as response:
            assert response.content_type == "image/svg+xml"
        async with session.get(f"{BASE}/one/config?format=exe") as response:
            assert response.status == 400
        await session.delete(f"{BASE}/one")
        async with session.get(f"{BASE}/1/config") as response:
            assert response.status == 409


async def test_rotations(ready: Running) -> None:
    async with ready.api() as session:
        await create(session, 1, name="one")
    body = {"publicKey": public_key(2), "overlap": "1h"}
    rotated: Any = await ready.call("POST", f"{BASE}/one/rotate", json=body)
    assert [key["public_key"] for key in rotated["peer"]["keys"]] == [public_key(1), public_key(2)]
    assert rotated["config"]["public_key"] == public_key(2)
    again: Any = await ready.call("POST", f"{BASE}/one/rotate-preshared", json={})
    assert again["config"]["preshared_key"]
    assert again["peer"]["keys"][1]["preshared_since"]


@pytest.mark.parametrize(
    "more",
    [
        {"publicKey": ""},
        {"publicKey": 7},
        {"permanent": "yes"},
        {"until": "soon"},
        {"keepalive": "x"},
        {"for": "x"},
        {"addresses": "10.90.0.9"},
        {"user": ""},
        {"accessRequest": "x"},
        {"name": "\0"},
        {"publicKey": "A" * 43 + "="},
    ],
)
async def test_bodies_that_make_no_sense(ready: Running, more: dict[str, Any]) -> None:
    async with ready.api() as session:
        status, answer = await create(session, 1, **more)
        assert status == 400, answer
        assert answer["detail"]
    listed: Any = await ready.call("GET", BASE)
    assert listed["peers"] == []


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    body = {"name": "gw", "host": "vpn.example.com", "pools": ["10.90.0.0/24"]}
    async with running_server(tmp_path) as server:
        made: Any = await server.call("POST", "/api/v1/wireguard/gateways", json=body)
        gateway = FakeGateway(server.url, made["token"])
        await gateway.start()
        async with server.api() as session:
            _, before = await create(session, 1)
            await create(session, 2, name="gone")
            await session.delete(f"{BASE}/gone")
        assert await gateway.ask() == 200
    async with running_server(tmp_path) as server:
        again = FakeGateway(server.url, made["token"])
        assert await again.ask() == 200
        assert again.wish == gateway.wish or again.keys == gateway.keys
        assert again.wish is not None and gateway.wish is not None
        assert again.wish.version == gateway.wish.version
        async with server.api() as session:
            assert await create(session, 1) == (200, before)
            _, third = await create(session, 3)
        # The address of the peer that ended still rests.
        assert third["config"]["addresses"] == ["10.90.0.4/32"]
