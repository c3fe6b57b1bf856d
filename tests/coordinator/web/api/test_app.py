"""The API as a whole."""

from __future__ import annotations

import stat

import aiohttp
import structlog

from tests.support.server_in_process import Running


async def test_the_socket_is_closed_to_others(server: Running) -> None:
    assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o770


async def test_an_oversized_body_is_refused(api: aiohttp.ClientSession) -> None:
    async with api.put("/api/v1/policy", data=b" " * (17 << 20)) as response:
        assert response.status == 413


async def test_health_and_version(server: Running) -> None:
    assert await server.call("GET", "/api/v1/health") == {"databaseConnectivity": True}
    assert (await server.call("GET", "/version"))["version"]


async def test_a_change_leaves_one_line_without_its_secrets(api: aiohttp.ClientSession) -> None:
    with structlog.testing.capture_logs() as lines:
        async with api.delete("/api/v1/preauthkey?key=hskey-auth-secret") as response:
            assert response.status == 404
    (line,) = [line for line in lines if line["event"] == "api request"]
    assert (line["method"], line["path"], line["status"]) == ("DELETE", "/api/v1/preauthkey", 404)
    assert line["log_level"] == "info"
    assert "secret" not in str(lines)


async def test_questions_are_quiet(api: aiohttp.ClientSession) -> None:
    with structlog.testing.capture_logs() as lines:
        async with api.get("/api/v1/user") as response:
            assert response.status == 200
    assert {line["log_level"] for line in lines} <= {"debug"}
