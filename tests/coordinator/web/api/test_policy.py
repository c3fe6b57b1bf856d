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


async def test_history_and_rollback(tmp_path: Path) -> None:
    async with running_server(tmp_path, more="policy: {mode: database}") as server:
        for text, note in (('{"acls": []}', "close"), (POLICY, "open")):
            await server.call("PUT", "/api/v1/policy", json={"policy": text, "note": note})
        await server.call("POST", "/api/v1/policy/rollback", json={"id": 1})
        versions = (await server.call("GET", "/api/v1/policy/history"))["versions"]
        assert [(each["id"], each["note"]) for each in versions] == [  # type: ignore[attr-defined]
            ("3", "rollback to 1"),
            ("2", "open"),
            ("1", "close"),
        ]
        assert versions[0]["author"] == "socket:local"  # type: ignore[index]
        assert (await server.call("GET", "/api/v1/policy"))["policy"] == '{"acls": []}'
        async with server.api() as api, api.post("/api/v1/policy/rollback", json={"id": 9}) as response:
            assert response.status == 404
