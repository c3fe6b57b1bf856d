"""/api/v1/node."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running


@pytest.fixture
async def node(server: Running) -> AsyncIterator[FakeTailscaled]:
    client = FakeTailscaled(server.url, hostname="web")
    await client.connect()
    await client.register(await server.auth_key())
    await client.lite_update(Hostinfo={"Hostname": "web", "RoutableIPs": ["10.0.0.0/24"]})
    yield client
    await client.close()


async def test_a_node_as_tools_read_it(server: Running, node: FakeTailscaled) -> None:
    (shown,) = (await server.call("GET", "/api/v1/node"))["nodes"]  # type: ignore[misc]
    assert shown["id"] == "1"
    assert shown["nodeKey"] == node.node_key
    assert shown["ipAddresses"] == ["100.64.0.1", "fd7a:115c:a1e0::1"]
    assert shown["user"]["name"] == "alice"
    assert shown["registerMethod"] == "REGISTER_METHOD_AUTH_KEY"
    assert shown["preAuthKey"]["key"].endswith("***")
    assert shown["availableRoutes"] == ["10.0.0.0/24"]
    assert (shown["online"], shown["expired"], shown["tags"]) == (False, False, [])


async def test_verbs(server: Running, node: FakeTailscaled) -> None:
    async def node_after(path: str, **arguments: object) -> dict[str, object]:
        return (await server.call("POST", f"/api/v1/node/1/{path}", **arguments))["node"]  # type: ignore[return-value]

    assert (await node_after("rename/other"))["givenName"] == "other"
    assert (await node_after("approve_routes", json={"routes": ["10.0.0.0/24"]}))["subnetRoutes"] == [
        "10.0.0.0/24"
    ]
    assert (await node_after("tags", json={"tags": ["tag:ci"]}))["user"] is None
    assert (await node_after("expire", json={"expiry": "2099-01-01T00:00:00Z"}))["expired"] is False
    assert (await node_after("expire"))["expired"] is True
    assert (await node_after("extend", json={"for": "30d"}))["expired"] is False
    assert (await node_after("expire", json={"disable_expiry": True}))["expiry"] is None
    assert (await server.call("GET", "/api/v1/node?user=alice"))["nodes"] == []
    assert await server.call("DELETE", "/api/v1/node/1") == {}
    assert await server.call("GET", "/api/v1/node") == {"nodes": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/node/9", None, 404),
        ("DELETE", "/api/v1/node/9", None, 404),
        ("POST", "/api/v1/node/9/expire", None, 404),
        ("POST", "/api/v1/node/1/rename/a.b", None, 400),
        ("POST", "/api/v1/node/1/extend", {}, 400),
        ("POST", "/api/v1/node/1/extend", {"for": "soon"}, 400),
        ("POST", "/api/v1/node/1/extend", {"for": "30d"}, 400),
        ("POST", "/api/v1/node/9/extend", {"for": "30d"}, 404),
        ("POST", "/api/v1/node/1/tags", {"tags": []}, 400),
        ("POST", "/api/v1/node/1/tags", {"tags": ["tag:unknown"]}, 400),
        ("POST", "/api/v1/node/1/approve_routes", {"routes": ["x"]}, 400),
        ("POST", "/api/v1/node/1/expire", {"expiry": "soon"}, 400),
        ("POST", "/api/v1/node/1/expire", {"expiry": "2099-01-01T00:00:00Z", "disableExpiry": True}, 400),
        ("GET", "/api/v1/node?user=nobody", None, 404),
        ("POST", "/api/v1/auth/register", {"user": "alice", "authId": "x"}, 404),
        ("POST", "/api/v1/auth/register", {"user": "", "authId": "x"}, 400),
        ("POST", "/api/v1/node/register", None, 400),
        ("GET", "/api/v1/node/" + "9" * 5000, None, 400),
    ],
)
async def test_mistakes(
    api: aiohttp.ClientSession, node: FakeTailscaled, method: str, path: str, body: object, status: int
) -> None:
    async with api.request(method, path, json=body) as response:
        assert response.status == status
        assert (await response.json(content_type=None))["message"]
