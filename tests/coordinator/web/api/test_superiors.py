"""What a user's API key may not do to those above."""

from __future__ import annotations

import pytest

from tests.coordinator.web.api.test_bearer import api_key, ask
from tests.support.server_in_process import Running

NAMES = ("owner", "admin", "it-admin", "member")
"""Each user is called as their role."""


@pytest.fixture
async def staffed(server: Running) -> Running:
    for number, role in enumerate(NAMES, start=1):
        await server.call("POST", "/api/v1/user", json={"name": f"the-{role}"})
        await server.call("POST", f"/api/v1/user/{number}/role", json={"role": role})
    return server


@pytest.mark.parametrize(
    ("who", "method", "path", "body", "status"),
    [
        ("it-admin", "POST", "/api/v1/user/3/role", {"role": "owner"}, 403),
        ("it-admin", "POST", "/api/v1/user/3/role", {"role": "admin"}, 403),
        ("it-admin", "PATCH", "/api/v1/user/4", {"Role": "admin"}, 403),
        ("it-admin", "POST", "/api/v1/user/4/role", {"role": "auditor"}, 200),
        ("it-admin", "POST", "/api/v1/user/1/role", {"role": "member"}, 403),
        ("it-admin", "POST", "/api/v1/user/2/suspend", {}, 403),
        ("it-admin", "DELETE", "/api/v1/user/1", None, 403),
        ("it-admin", "POST", "/api/v1/user/1/rename/other", None, 403),
        ("it-admin", "POST", "/api/v1/user/1/identity", {"identity": "https://id.example/1"}, 403),
        ("it-admin", "POST", "/api/v1/user/4/identity", {"identity": "https://id.example/1"}, 200),
        ("it-admin", "POST", "/api/v1/apikey", {}, 403),
        ("it-admin", "POST", "/api/v1/apikey", {"user": None}, 403),
        ("it-admin", "POST", "/api/v1/apikey", {"user": "the-admin"}, 403),
        ("it-admin", "POST", "/api/v1/apikey", {"user": "the-member"}, 200),
        ("it-admin", "POST", "/api/v1/user/9/role", {"role": "member"}, 404),
        ("admin", "POST", "/api/v1/user/2/role", {"role": "owner"}, 403),
        ("admin", "POST", "/api/v1/user/1/suspend", {}, 403),
        ("admin", "POST", "/api/v1/apikey", {}, 403),
        ("admin", "POST", "/api/v1/apikey", {"user": "the-owner"}, 403),
        ("admin", "POST", "/api/v1/user/4/role", {"role": "admin"}, 200),
        ("owner", "POST", "/api/v1/user/2/role", {"role": "owner"}, 200),
        ("owner", "POST", "/api/v1/apikey", {}, 200),
        ("it-admin", "GET", "/api/v1/user", None, 200),
    ],
)
async def test_nobody_becomes_more_than_they_are(
    staffed: Running, who: str, method: str, path: str, body: object, status: int
) -> None:
    key = await api_key(staffed, user=f"the-{who}")
    found, text = await ask(staffed, key, method, path, json=body)
    assert found == status, text
