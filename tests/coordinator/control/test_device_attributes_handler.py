"""A client sets its own attributes."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import running_server

POLICY = """{"attrConfig": {"custom:tier": {"type": "string", "allowSetByNode": true}}}"""


async def test_its_own_node_and_no_other(tmp_path: Path) -> None:
    async with running_server(tmp_path, POLICY) as server:
        client, stranger = FakeTailscaled(server.url), FakeTailscaled(server.url)
        await client.connect()
        await client.register(await server.auth_key())

        async def patch(who: FakeTailscaled, update: dict[str, object]) -> int:
            body = {"Version": 142, "NodeKey": client.node_key, "Update": update}
            status, _, _ = await who.request("PATCH", "/machine/set-device-attr", json.dumps(body).encode())
            return status

        assert await patch(client, {"custom:tier": "prod"}) == 200
        shown = await server.call("GET", "/api/v1/node/1/attributes")
        assert shown["attributes"] == {
            "custom:tier": "prod", "node:os": "linux", "node:osVersion": "6.1.0",
            "node:tsVersion": "1.102.3", "node:tsReleaseTrack": "stable",
        }  # fmt: skip
        assert await patch(client, {"custom:other": 1}) == 403
        assert await patch(client, {"custom:tier": ["list"]}) == 400
        assert await patch(stranger, {"custom:tier": "dev"}) == 404
        await client.close()
        await stranger.close()
