"""/api/v1/audit, and that everything the API and clients change is in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running, running_server

POLICY = '{"tagOwners": {"tag:ci": []}, "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'


async def entries(server: Running, query: str = "") -> list[dict[str, Any]]:
    return list((await server.call("GET", f"/api/v1/audit?{query}"))["entries"])  # type: ignore[call-overload]


async def test_every_change_is_there_with_who_where_and_why(tmp_path: Path) -> None:
    async with running_server(tmp_path, None, "policy: {mode: database}") as server:
        client = FakeTailscaled(server.url, hostname="web")
        await client.connect()
        await server.call("PUT", "/api/v1/policy", json={"policy": POLICY, "note": "first"})
        key = await server.auth_key()
        await client.register(key)
        await client.register("nonsense", NodeKey="nodekey:" + "5" * 64)
        changes = [
            ("POST", "/api/v1/node/1/rename/db", None),
            ("POST", "/api/v1/node/1/approve_routes", {"routes": ["10.0.0.0/8"]}),
            ("POST", "/api/v1/node/1/tags", {"tags": ["tag:ci"]}),
            ("POST", "/api/v1/node/1/expire", {"expiry": "2999-01-01T00:00:00Z"}),
            ("DELETE", "/api/v1/node/1", None),
            ("POST", "/api/v1/preauthkey/expire", {"id": "1"}),
            ("DELETE", "/api/v1/preauthkey?id=1", None),
            ("POST", "/api/v1/user/1/rename/alicia", None),
            ("DELETE", "/api/v1/user/1", None),
        ]
        headers = {"X-Audit-Reason": quote("change 7, geprüft")}
        for method, path, body in changes:
            await server.call(method, path, json=body, headers=headers)
        found = await entries(server, "after=0")
        assert [entry["action"] for entry in found] == [
            "server.start", "policy.set", "user.create", "preauthkey.create", "node.register",
            "preauthkey.use", "node.register.refused", "node.rename", "route.approve", "node.tag",
            "node.expire", "node.delete", "preauthkey.expire", "preauthkey.delete", "user.rename",
            "user.delete",
        ]  # fmt: skip
        administrative = [entry for entry in found if entry["actor"]["kind"] == "socket"]
        assert {entry["source"] for entry in administrative} == {f"unix:uid={os.getuid()}"}
        assert all(len(entry["requestId"]) == 12 for entry in administrative)
        assert {entry["reason"] for entry in found[7:]} == {"change 7, geprüft"}
        assert {entry["source"] for entry in found[4:7]} == {"127.0.0.1"}
        assert found[4]["requestId"] == found[5]["requestId"] != found[6]["requestId"]
        assert key.rpartition("-")[2] not in str(found)
        answer = await server.call("GET", "/api/v1/audit/verify")
        assert (answer["intact"], answer["entries"], answer["lastId"]) == (True, "16", "16")
        assert answer["lastHash"] == found[-1]["hash"]
        await client.close()


async def test_queries_and_pages(server: Running) -> None:
    for name in ("alice", "bob", "carol"):
        await server.call("POST", "/api/v1/user", json={"name": name})
    assert [entry["object"]["name"] for entry in await entries(server, "object=user&limit=2")] == [
        "carol",
        "bob",
    ]
    assert [entry["id"] for entry in await entries(server, "object=user&before=3")] == ["2"]
    assert [entry["action"] for entry in await entries(server, "action=server.*")] == ["server.start"]
    assert await entries(server, "since=2999-01-01T00:00:00Z") == []
    assert len(await entries(server, "until=2999-01-01T00:00:00Z&actor=socket:local")) == 3


async def test_anchors(server: Running) -> None:
    first = (await entries(server))[0]
    good, bad = f"1:{first['hash']}", f"1:{'0' * 64}"
    assert (await server.call("GET", f"/api/v1/audit/verify?anchor={good}"))["intact"] is True
    answer = await server.call("GET", f"/api/v1/audit/verify?anchor={good}&anchor={bad}")
    assert (answer["intact"], answer["wrong"]) == (False, "1")
    (finding,) = answer["findings"]  # type: ignore[misc]
    assert (finding["kind"], finding["id"]) == ("rewritten", "1")  # type: ignore[index]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/v1/audit?limit=0", "between 1 and"),
        ("/api/v1/audit?limit=1001", "between 1 and"),
        ("/api/v1/audit?since=yesterday", "not a time"),
        ("/api/v1/audit?after=x", "not an id"),
        ("/api/v1/audit?usr=x", "unknown parameter"),
        ("/api/v1/audit?actor=%00", "character"),
        ("/api/v1/audit/verify?anchor=7", "not an anchor"),
    ],
)
async def test_mistakes(api: aiohttp.ClientSession, path: str, words: str) -> None:
    async with api.get(path) as response:
        assert response.status == 400
        assert words in (await response.json(content_type=None))["detail"]


async def test_nothing_removes_or_changes_an_entry(api: aiohttp.ClientSession) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        async with api.request(method, "/api/v1/audit") as response:
            assert response.status == 405
