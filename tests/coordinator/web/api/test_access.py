"""/api/v1/access; the verbs are tested through the command line."""

from __future__ import annotations

from tests.support.server_in_process import Running


async def test_bodies_are_read_liberally_and_refused_by_name(server: Running) -> None:
    assert await server.call("GET", "/api/v1/access/profiles") == {"profiles": []}
    assert await server.call("GET", "/api/v1/access/requests") == {"requests": []}
    report = (await server.call("GET", "/api/v1/access/report?since=7d"))["report"]
    assert report["requests"] == 0  # type: ignore[index, call-overload]
    await server.auth_key("alice")
    async with server.api() as session:
        for path, body, status in (
            ("requests", {"profile": "x", "user": "alice"}, 404),
            ("requests/1/approve", {}, 404),
            ("requests/x/approve", {}, 400),
            ("incidents", {"name": "x", "for": "1h", "people": "alice"}, 400),
            ("incidents", {"name": "x", "for": "1h", "people": ["alice"], "profiles": []}, 400),
        ):
            async with session.post(f"/api/v1/access/{path}", json=body) as response:
                assert response.status == status, path
