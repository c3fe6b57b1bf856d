"""A client gets a token for its own node."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import running_server


async def test_its_own_node_and_no_other(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        client, stranger = FakeTailscaled(server.url, hostname="laptop"), FakeTailscaled(server.url)
        await client.connect()
        await client.register(await server.auth_key())

        async def ask(who: FakeTailscaled, audience: str = "https://vault") -> tuple[int, bytes]:
            body = {"CapVersion": 142, "NodeKey": client.node_key, "Audience": audience}
            status, _, answer = await who.request("POST", "/machine/id-token", json.dumps(body).encode())
            return status, answer

        status, answer = await ask(client)
        assert status == 200
        text = json.loads(answer)["id_token"]
        issuer = f"{server.url}/id-token"
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{issuer}/.well-known/openid-configuration") as response:
                metadata = await response.json()
            async with http.get(metadata["jwks_uri"]) as response:
                keys = KeySet.import_key_set(await response.json())
        claims = jwt.decode(text, keys, algorithms=metadata["id_token_signing_alg_values_supported"]).claims
        assert (claims["iss"], claims["aud"], claims["sub"]) == (issuer, "https://vault", "laptop.tail.lab")
        assert metadata["issuer"] == issuer
        entries = str(await server.call("GET", "/api/v1/audit?action=node.id_token"))
        assert "https://vault" in entries
        assert "127.0.0.1" in entries
        status, answer = await ask(client, "")
        assert (status, b"say who the token is for" in answer) == (400, True)
        assert (await ask(stranger))[0] == 404
        await client.close()
        await stranger.close()
