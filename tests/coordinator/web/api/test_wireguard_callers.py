"""Who may bring devices from elsewhere, and what floods of wrong tokens do: nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.fake_gateway import FakeGateway
from tests.support.server_in_process import Running, running_server
from tests.support.wireguard_records import public_key

BASE = "/api/v1/wireguard"
POLICY = """{"acls": [], "access": {"profiles": {
  "db": {"src": ["autogroup:member"], "dst": ["10.1.2.3:5432"], "proto": "tcp"}}}}"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_server(tmp_path, POLICY) as running:
        for name in ("ada", "bob"):
            await running.call("POST", "/api/v1/user", json={"name": name})
        body = {"name": "gw", "host": "vpn.example.com", "pools": ["10.90.0.0/24"]}
        made: Any = await running.call("POST", f"{BASE}/gateways", json=body)
        await FakeGateway(running.url, made["token"]).start()
        yield running


async def key_of(server: Running, user: str | None = None) -> str:
    made = await server.call("POST", "/api/v1/apikey", json={"user": user} if user else {})
    return str(made["apiKey"])


async def ask(
    server: Running, token: str, method: str, path: str, body: dict[str, Any] | None = None
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"{server.url}{BASE}{path}", json=body) as response,
    ):
        return response.status, await response.json(content_type=None) if response.status != 401 else None


async def test_people_bring_their_own(server: Running) -> None:
    ada, bob = await key_of(server, "ada"), await key_of(server, "bob")
    body = {"publicKey": public_key(1), "profile": "db", "name": "adas-phone"}
    status, made = await ask(server, ada, "POST", "/peers", body)
    assert (status, made["peer"]["user"], made["peer"]["state"]) == (201, "ada", "active")
    assert (await ask(server, ada, "POST", "/peers", body))[0] == 200
    assert (await ask(server, bob, "POST", "/peers", body))[0] == 409
    assert (await ask(server, bob, "GET", "/peers/adas-phone/config"))[0] == 404
    assert (await ask(server, bob, "DELETE", "/peers/adas-phone"))[0] == 404
    # Nobody learns from an answer that there is such a peer of somebody else.
    for method, path in (("GET", "/{}/config"), ("POST", "/{}/rotate"), ("DELETE", "/{}")):
        theirs, none = [
            await ask(server, bob, method, f"/peers{path.format(name)}", {} if method == "POST" else None)
            for name in ("adas-phone", "nobodys")
        ]
        assert theirs[0] == 404
        assert theirs[1]["detail"] == none[1]["detail"].replace("nobodys", "adas-phone")
    assert (await ask(server, ada, "GET", "/peers/adas-phone/config"))[0] == 200
    rotate = {"publicKey": public_key(2)}
    assert (await ask(server, ada, "POST", "/peers/adas-phone/rotate", rotate))[0] == 200
    assert (await ask(server, ada, "POST", "/peers", {**body, "service": "x"}))[0] == 403
    refused: Any = await server.call("GET", "/api/v1/audit?action=api.refused")
    assert "only administrators" in str(refused["entries"][0])
    # What is the administration's needs its rights.
    for method, path in (("GET", "/peers"), ("GET", "/gateways"), ("POST", "/tokens"), ("POST", "/apply")):
        assert (await ask(server, ada, method, path, {} if method == "POST" else None))[0] == 403
    assert (await ask(server, ada, "DELETE", "/peers/adas-phone"))[0] == 200
    entries: Any = await server.call("GET", "/api/v1/audit?action=wgpeer.end")
    assert entries["entries"][0]["actor"]["kind"] == "api_key"


async def test_administrators_speak_for_others(server: Running) -> None:
    key = await key_of(server)
    body = {"publicKey": public_key(1), "user": "bob", "profile": "db"}
    status, made = await ask(server, key, "POST", "/peers", body)
    assert (status, made["peer"]["user"]) == (201, "bob")
    assert (await ask(server, key, "GET", "/peers"))[0] == 200


async def test_a_device_with_an_enrolment_token(server: Running) -> None:
    body = {"user": "ada", "profile": "db"}
    token: Any = await server.call("POST", f"{BASE}/tokens", json=body)
    one, two = {"publicKey": public_key(1)}, {"publicKey": public_key(2)}
    status, made = await ask(server, token["secret"], "POST", "/peers", one)
    assert (status, made["peer"]["user"], made["peer"]["profile"]) == (201, "ada", "db")
    assert (await ask(server, token["secret"], "POST", "/peers", one))[0] == 200
    assert (await ask(server, token["secret"], "POST", "/peers", two))[0] == 403
    assert (await ask(server, token["secret"], "DELETE", "/peers/1"))[0] == 404
    assert (await ask(server, token["secret"], "GET", "/peers"))[0] == 401
    listed: Any = await server.call("GET", f"{BASE}/tokens")
    assert (listed["tokens"][0]["state"], listed["tokens"][0]["peer"]) == ("used", made["peer"]["id"])


async def test_who_asks_too_much_waits(server: Running) -> None:
    ada = await key_of(server, "ada")
    statuses = [(await ask(server, ada, "GET", "/peers/none/config"))[0] for _ in range(35)]
    assert statuses[:30] == [404] * 30
    assert statuses[-1] == 429


async def test_floods_of_wrong_tokens_do_no_harm(server: Running) -> None:
    ada = await key_of(server, "ada")
    answers: list[int] = []

    async def flood() -> None:
        async with aiohttp.ClientSession() as session:
            for number in range(600):
                wrong = (f"hskey-api-{number:012}-{'0' * 64}", f"wgenrol-{number:012}-{'0' * 64}", "a.b.c")
                headers = {"Authorization": f"Bearer {wrong[number % 3]}"}
                url = f"{server.url}{BASE}/peers"
                async with session.post(url, json={}, headers=headers) as response:
                    answers.append(response.status)

    began = time.monotonic()
    flooding = asyncio.create_task(flood())
    slowest = 0.0
    for number in range(5):
        at = time.monotonic()
        body = {"publicKey": public_key(number), "profile": "db"}
        assert (await ask(server, ada, "POST", "/peers", body))[0] == 201
        slowest = max(slowest, time.monotonic() - at)
    await flooding
    assert set(answers) == {401, 429}
    assert len(answers) / (time.monotonic() - began) > 100
    assert slowest < 1
    listed: Any = await server.call("GET", f"{BASE}/peers")
    assert len(listed["peers"]) == 5
