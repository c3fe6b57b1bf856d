"""Links over the API: for the socket and keys without a user."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.support.access import access_server, ask


async def test_who_gets_links(tmp_path: Path) -> None:
    async with access_server(tmp_path) as server:
        request = await ask(server)
        path = f"/api/v1/access/requests/{request['id']}/links"
        made = (await server.call("POST", path))["links"]
        assert [each["user"] for each in made] == ["bob", "carol"]  # type: ignore[attr-defined]
        await server.call("POST", "/api/v1/user/2/role", json={"role": "admin"})
        keys = [
            (await server.call("POST", "/api/v1/apikey", json=body))["apiKey"]
            for body in ({"user": "bob"}, {})
        ]
        async with aiohttp.ClientSession() as session:
            for key, status in zip(keys, (403, 200), strict=True):
                headers = {"Authorization": f"Bearer {key}"}
                async with session.post(f"{server.url}{path}", headers=headers, json={}) as answer:
                    assert answer.status == status, await answer.text()
        async with server.api() as session:
            for body, status in (({"user": "alice"}, 403), ({"user": "nobody"}, 404), ({"user": ""}, 400)):
                async with session.post(path, json=body) as answer:
                    assert answer.status == status
            async with session.post("/api/v1/access/requests/99/links", json={}) as answer:
                assert answer.status == 404
