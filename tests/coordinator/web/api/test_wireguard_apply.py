"""/api/v1/wireguard/apply."""

from __future__ import annotations

from typing import Any

from tests.support.server_in_process import Running

PATH = "/api/v1/wireguard/apply"
TEXT = "gateways: [{name: gw, host: vpn.example.com, pools: [10.90.0.0/24]}]"


async def test_dry_and_real(server: Running) -> None:
    dry: Any = await server.call("POST", PATH, json={"document": TEXT, "dryRun": True})
    change = {"verb": "create", "kind": "gateway", "name": "gw", "detail": ""}
    assert dry == {"changes": [change], "tokens": {}}
    real: Any = await server.call("POST", PATH, json={"document": TEXT})
    assert real["changes"] == [change]
    assert real["tokens"]["gw"].startswith("wggateway-")
    again: Any = await server.call("POST", PATH, json={"document": TEXT})
    assert again == {"changes": [], "tokens": {}}


async def test_mistakes_have_places(server: Running) -> None:
    async with server.api() as session:
        async with session.post(PATH, json={"document": "gateways:\n  - nam: gw"}) as response:
            answer = await response.json()
            assert response.status == 400
            assert (answer["errors"][0]["line"], answer["errors"][0]["column"]) == (2, 5)
        async with session.post(PATH, json={"document": TEXT.replace("10.90", "100.90")}) as response:
            assert response.status == 400
            assert (await response.json())["detail"].startswith("line 1, column 12: gateway `gw`: pool ")
        for nothing in ({}, {"document": ""}, {"dokument": TEXT}):
            async with session.post(PATH, json=nothing) as response:
                assert response.status == 400
                assert "it declares nothing" in (await response.json())["detail"]
