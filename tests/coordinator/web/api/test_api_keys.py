"""/api/v1/apikey on the socket."""

from __future__ import annotations

from tests.support.server_in_process import Running


async def test_create_list_expire_delete(server: Running) -> None:
    text = str((await server.call("POST", "/api/v1/apikey", json={}))["apiKey"])
    assert text.startswith("hskey-api-")
    (key,) = (await server.call("GET", "/api/v1/apikey"))["apiKeys"]  # type: ignore[misc]
    assert key["prefix"].endswith("-***")
    assert text not in str(key)
    assert await server.call("POST", "/api/v1/apikey/expire", json={"prefix": key["prefix"]}) == {}
    assert await server.call("DELETE", "/api/v1/apikey/whatever?id=1") == {}
    assert await server.call("GET", "/api/v1/apikey") == {"apiKeys": []}
    async with server.api() as session, session.delete("/api/v1/apikey/none") as response:
        assert response.status == 404
