"""/api/v1/wireguard/apply."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator.tailnet.rights import ROLE_RIGHTS
from tests.coordinator.web.api.test_bearer import api_key, ask
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


PROFILES = "profiles: {web: {src: ['dave@'], dst: ['10.1.2.3:443']}}\n"


async def test_profiles_take_the_right_to_write_the_policy(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No role has only the other right; one that had it should open no networks."""
    rights = ROLE_RIGHTS["it-admin"] | {"wireguard:write"}
    monkeypatch.setitem(ROLE_RIGHTS, "it-admin", rights)  # type: ignore[arg-type]
    await server.call("POST", "/api/v1/user", json={"name": "dave"})
    await server.call("POST", "/api/v1/user/1/role", json={"role": "it-admin"})
    key = await api_key(server, user="dave")
    status, text = await ask(server, key, "POST", PATH, json={"document": PROFILES})
    assert (status, "policy:write" in text) == (403, True)
    assert (await ask(server, key, "POST", PATH, json={"document": TEXT}))[0] == 200
    refused: Any = await server.call("GET", "/api/v1/audit?action=api.refused")
    assert [each["after"]["path"] for each in refused["entries"]] == [PATH]
    await server.call("POST", PATH, json={"document": PROFILES + TEXT})
    assert (await ask(server, key, "POST", PATH, json={"document": TEXT}))[0] == 403
    assert (await ask(server, key, "POST", PATH, json={"document": PROFILES}))[0] == 200
    await server.call("POST", "/api/v1/user/1/role", json={"role": "network-admin"})
    assert (await ask(server, key, "POST", PATH, json={"document": "profiles: {}"}))[0] == 200


async def test_where_profiles_come_from(server: Running) -> None:
    await server.call("POST", "/api/v1/user", json={"name": "dave"})
    await server.call("POST", PATH, json={"document": PROFILES})
    listed: Any = await server.call("GET", "/api/v1/access/profiles")
    assert [(each["name"], each["source"]) for each in listed["profiles"]] == [("web", "apply")]
    bodies: Any = await server.call("GET", "/api/v1/policy/profiles")
    assert bodies == {"profiles": {"web": {"src": ["dave@"], "dst": ["10.1.2.3:443"]}}}
