"""/api/v1/wireguard/tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.server_in_process import Running

BASE = "/api/v1/wireguard/tokens"


async def test_create_list_revoke(server: Running) -> None:
    await server.call("POST", "/api/v1/user", json={"name": "ada"})
    expires = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {"user": "ada", "permanent": True, "reason": "phone", "expiration": expires}
    made: Any = await server.call("POST", BASE, json=body)
    assert made["secret"].startswith("wgenrol-")
    assert (made["token"]["user"], made["token"]["state"]) == ("ada", "usable")
    assert made["secret"] not in str(made["token"])
    listed: Any = await server.call("GET", BASE)
    assert listed["tokens"] == [made["token"]]
    revoked: Any = await server.call("DELETE", f"{BASE}/1")
    assert revoked["token"]["state"] == "revoked"
    async with server.api() as session:
        for request in (
            session.delete(f"{BASE}/9"),
            session.delete(f"{BASE}/x"),
            session.post(BASE, json={}),
        ):
            async with request as response:
                assert response.status in (400, 404)
