"""/api/v1/node/rotate."""

from __future__ import annotations

import aiohttp
import pytest

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running


async def test_rotate_and_survive_it(server: Running) -> None:
    client = FakeTailscaled(server.url, hostname="web")
    await client.connect()
    await client.register(await server.auth_key())
    answer = await server.call("POST", "/api/v1/node/rotate", json={"ids": ["1"], "within": "14d"})
    (shown,) = answer["nodes"]  # type: ignore[misc]
    assert shown["rotationAsked"] is not None
    assert shown["expiry"] is not None
    (row,) = (await server.call("GET", "/api/v1/inventory"))["keys"]  # type: ignore[misc]
    assert row["rotationAsked"] == shown["rotationAsked"]
    assert (await client.register())["NodeKeyExpired"]
    old, client.node_private = client.node_key, FakeTailscaled(server.url).node_private
    assert (await client.register(OldNodeKey=old))["MachineAuthorized"]
    (shown,) = (await server.call("GET", "/api/v1/node"))["nodes"]  # type: ignore[misc]
    assert (shown["nodeKey"], shown["rotationAsked"], shown["expiry"]) == (client.node_key, None, None)
    await client.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"ids": ["x"]}, 400),
        ({"ids": [True]}, 400),
        ({"ids": "1"}, 400),
        ({"ids": [9]}, 404),
        ({"olderThan": "soon"}, 400),
        ({"ids": [1], "within": "0"}, 400),
        ({"olderThan": "1d", "user": "nobody"}, 404),
    ],
)
async def test_mistakes(server: Running, api: aiohttp.ClientSession, body: object, status: int) -> None:
    client = FakeTailscaled(server.url)
    await client.connect()
    await client.register(await server.auth_key())
    await client.close()
    async with api.post("/api/v1/node/rotate", json=body) as response:
        assert response.status == status
        assert (await response.json(content_type=None))["message"]
