"""/api/v1/user."""

from __future__ import annotations

import aiohttp
import pytest

from tests.support.fake_tailscaled import FakeTailscaled
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


async def test_role_suspension_and_deletion_with_nodes(server: Running) -> None:
    key = await server.auth_key(reusable=True)
    client = FakeTailscaled(server.url)
    await client.register(key)
    for method, path in (("POST", "/api/v1/user/1/role"), ("PATCH", "/api/v1/user/1")):
        role = "auditor" if method == "PATCH" else "admin"
        answer = await server.call(method, path, json={"role": role})
        assert answer["user"]["role"] == role  # type: ignore[index]
    for path, state in (("suspend", True), ("restore", False)):
        answer = await server.call("POST", f"/api/v1/user/1/{path}")
        assert answer["user"]["suspended"] is state  # type: ignore[index]
    assert await server.call("DELETE", "/api/v1/user/1?withNodes=true") == {}
    assert await server.call("GET", "/api/v1/node") == {"nodes": []}
    await client.close()


async def test_the_roles_with_their_rights(server: Running) -> None:
    roles = (await server.call("GET", "/api/v1/role"))["roles"]
    rights = {each["role"]: each["rights"] for each in roles}  # type: ignore[attr-defined]
    assert "policy:write" in rights["network-admin"]
    assert rights["member"] == []


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
        ("POST", "/api/v1/user/77/role", '{"role":"admin"}', 404),
        ("POST", "/api/v1/user/77/role", '{"role":"king"}', 400),
        ("PATCH", "/api/v1/user/77", "{}", 400),
        ("POST", "/api/v1/user/77/suspend", None, 404),
        ("POST", "/api/v1/user/77/restore", None, 404),
        ("DELETE", "/api/v1/user/77?withNodes=maybe", None, 400),
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
