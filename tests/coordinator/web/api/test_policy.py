"""/api/v1/policy."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.coordinator.web.api.conftest import POLICY
from tests.support.server_in_process import Running, running_server


async def test_the_file_is_shown_and_cannot_be_set(server: Running, api: aiohttp.ClientSession) -> None:
    assert (await server.call("GET", "/api/v1/policy"))["policy"] == POLICY
    async with api.put("/api/v1/policy", json={"policy": "{}"}) as response:
        assert response.status == 400
        assert "policy.path" in (await response.json(content_type=None))["message"]


async def test_checking_names_every_problem_with_its_place(
    api: aiohttp.ClientSession, server: Running
) -> None:
    assert await server.call("POST", "/api/v1/policy/check", json={"policy": POLICY}) == {}
    wrong = '{\n "acls": [{"action": "deny", "src": ["*"], "dst": ["*:*"]}],\n "nonsense": 1,\n}'
    async with api.post("/api/v1/policy/check", json={"policy": wrong}) as response:
        document = await response.json(content_type=None)
    assert response.status == 400
    assert {error["line"] for error in document["errors"]} == {2, 3}


async def test_database_mode_keeps_text_and_comments(tmp_path: Path) -> None:
    text = '{\n  // nobody\n  "acls": [],\n}\n'
    async with running_server(tmp_path, more="policy: {mode: database}") as server:
        await server.call("PUT", "/api/v1/policy", json={"policy": text})
        assert (await server.call("GET", "/api/v1/policy"))["policy"] == text
    async with running_server(tmp_path, more="policy: {mode: database}") as server:
        assert (await server.call("GET", "/api/v1/policy"))["policy"] == text
