"""The API as a whole."""

from __future__ import annotations

import stat

import aiohttp

from tests.support.server_in_process import Running


async def test_the_socket_is_closed_to_others(server: Running) -> None:
    assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o770


async def test_an_oversized_body_is_refused(api: aiohttp.ClientSession) -> None:
    async with api.put("/api/v1/policy", data=b" " * (17 << 20)) as response:
        assert response.status == 413


async def test_health_and_version(server: Running) -> None:
    assert await server.call("GET", "/api/v1/health") == {"databaseConnectivity": True}
    assert (await server.call("GET", "/version"))["version"]
