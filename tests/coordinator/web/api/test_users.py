"""/api/v1/user."""

from __future__ import annotations

import aiohttp
import pytest

from tests.support.server_in_process import Running


async def test_create_list_rename_delete(server: Running) -> None:
    created = await server.call(
        "POST", "/api/v1/user", json={"name": "alice", "display_name": "A", "email": "a@b.c"}
    )
    user = created["user"]
    assert (user["id"], user["displayName"]) == ("1", "A")  # type: ignore[index]
    renamed = await server.call("POST", "/api/v1/user/1/rename/alicia")
    assert renamed["user"]["name"] == "alicia"  # type: ignore[index]
    listed = await server.call("GET", "/api/v1/user?name=alicia")
    assert [each["id"] for each in listed["users"]] == ["1"]  # type: ignore[attr-defined]
    assert await server.call("DELETE", "/api/v1/user/1") == {}
    assert await server.call("GET", "/api/v1/user") == {"users": []}


async def test_an_id_is_never_given_twice(server: Running) -> None:
    await server.call("POST", "/api/v1/user", json={"name": "alice"})
    await server.call("DELETE", "/api/v1/user/1")
    again = await server.call("POST", "/api/v1/user", json={"name": "alice"})
    assert again["user"]["id"] == "2"  # type: ignore[index]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v1/user", '{"name":"a"}', 400),
        ("POST", "/api/v1/user", '{"name":"a b"}', 400),
        ("POST", "/api/v1/user", '{"name":["x"]}', 400),
        ("POST", "/api/v1/user", "[]", 400),
        ("POST", "/api/v1/user", '{"name":"ab","displayName":"\\ud800"}', 400),
        ("POST", "/api/v1/user", '{"name":"ab","displayName":"a\\u0000"}', 400),
        ("POST", "/api/v1/user", "{", 400),
        ("DELETE", "/api/v1/user/77", None, 404),
        ("DELETE", "/api/v1/user/x", None, 400),
        ("POST", "/api/v1/user/77/rename/bob", None, 404),
        ("GET", "/api/v1/nothing", None, 404),
        ("PUT", "/api/v1/user", None, 405),
    ],
)
async def test_mistakes(
    api: aiohttp.ClientSession, method: str, path: str, body: str | None, status: int
) -> None:
    async with api.request(method, path, data=body) as response:
        document = await response.json(content_type=None)
    assert response.status == status
    assert document["message"]


async def test_a_name_in_use(api: aiohttp.ClientSession, server: Running) -> None:
    await server.call("POST", "/api/v1/user", json={"name": "alice"})
    async with api.post("/api/v1/user", json={"name": "alice"}) as response:
        assert response.status == 409
