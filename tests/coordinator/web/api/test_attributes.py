"""/api/v1/node/{id}/attributes."""

from __future__ import annotations

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running


async def test_set_show_and_remove(server: Running) -> None:
    client = FakeTailscaled(server.url)
    await client.connect()
    await client.register(await server.auth_key())
    await client.close()
    path = "/api/v1/node/1/attributes"
    changes = {"custom:tier": "prod", "custom:level": 3, "custom:managed": True}
    shown = (await server.call("POST", path, json={"attributes": changes}))["attributes"]
    assert changes.items() <= shown.items()  # type: ignore[attr-defined, operator]
    shown = (await server.call("POST", path, json={"attributes": {"custom:tier": None}}))["attributes"]
    assert "custom:tier" not in shown  # type: ignore[operator]
    async with server.api() as session:
        for body, status in (
            ({"attributes": {"custom:x": [1]}}, 400),
            ({"attributes": {"tier": 1}}, 400),
            ({"attributes": 3}, 400),
        ):
            async with session.post(path, json=body) as response:
                assert response.status == status
        async with session.post("/api/v1/node/9/attributes", json={"attributes": {}}) as response:
            assert response.status == 404
