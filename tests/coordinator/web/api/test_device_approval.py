"""/api/v1/node/{id}/approve and …/reject."""

from __future__ import annotations

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running


async def test_both_verbs_answer_with_the_node(server: Running) -> None:
    client = FakeTailscaled(server.url, hostname="web")
    await client.connect()
    await client.register(await server.auth_key())
    for verb, state in (("approve", "approved"), ("reject", "rejected")):
        node = (await server.call("POST", f"/api/v1/node/1/{verb}"))["node"]
        assert node["approval"] == state  # type: ignore[index]
    async with server.api() as api:
        async with api.post("/api/v1/node/1/approve") as response:
            assert response.status == 409
        async with api.post("/api/v1/node/7/reject") as response:
            assert response.status == 404
    assert "rejected" in (await client.register())["Error"]
    await client.close()
