"""What verifiers fetch; that it verifies real tokens is tested in `control/test_id_token_handler`."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.support.server_in_process import running_server


async def test_metadata_and_keys_survive_a_restart(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        async with running_server(tmp_path) as server, aiohttp.ClientSession(server.url) as http:
            async with http.get("/id-token/.well-known/openid-configuration") as response:
                metadata = await response.json()
            assert metadata["jwks_uri"] == f"{server.url}/id-token/jwks.json"
            async with http.get("/id-token/jwks.json") as response:
                found.append(await response.json())
    assert found[0] == found[1]
    assert "d" not in found[0]["keys"][0]
