"""/api/v1/preauthkey."""

from __future__ import annotations

import aiohttp
import pytest

from tests.support.server_in_process import Running


async def test_the_secret_is_shown_once(server: Running) -> None:
    await server.call("POST", "/api/v1/user", json={"name": "alice"})
    fields = {"user": "1", "reusable": True, "acl_tags": ["tag:ci"]}
    created = await server.call("POST", "/api/v1/preauthkey", json=fields)
    key = created["preAuthKey"]
    assert len(key["key"]) == len("hskey-auth-") + 77  # type: ignore[index]
    listed = await server.call("GET", "/api/v1/preauthkey?user=alice")
    (shown,) = listed["preAuthKeys"]  # type: ignore[misc]
    assert shown["key"].endswith("-***")
    assert shown["aclTags"] == ["tag:ci"]
    assert shown["expiration"] is not None


async def test_expire_by_id_by_text_and_delete(server: Running) -> None:
    key = await server.auth_key()
    await server.call("POST", "/api/v1/preauthkey/expire", json={"user": "1", "key": key})
    await server.call("POST", "/api/v1/preauthkey/expire", json={"id": 1})
    await server.call("DELETE", "/api/v1/preauthkey?id=1")
    assert await server.call("GET", "/api/v1/preauthkey") == {"preAuthKeys": []}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "needs a user or tags"),
        ({"user": "nobody"}, 404, "`nobody` does not exist"),
        ({"aclTags": ["ci"]}, 400, "must have the form"),
        ({"aclTags": ["tag:CI"]}, 400, "lower case"),
        ({"aclTags": ["tag:other"]}, 400, "not in the policy"),
        ({"aclTags": ["tag:ci"], "expiration": "2001-01-01T00:00:00Z"}, 400, "has passed"),
        ({"aclTags": ["tag:ci"], "expiration": "soon"}, 400, "is not a time"),
        ({"aclTags": ["tag:ci"], "reusable": "yes"}, 400, "true or false"),
    ],
)
async def test_mistakes(api: aiohttp.ClientSession, body: dict[str, object], status: int, words: str) -> None:
    async with api.post("/api/v1/preauthkey", json=body) as response:
        document = await response.json(content_type=None)
    assert response.status == status
    assert words in document["message"]
