"""Registration over the real transport."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running, running_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_server(tmp_path) as running:
        yield running


async def test_a_person_approves(server: Running) -> None:
    client = FakeTailscaled(server.url)
    await client.connect()
    await server.call("POST", "/api/v1/user", json={"name": "alice"})
    url = (await client.register())["AuthURL"]
    assert url.startswith(server.url + "/register/")
    held = asyncio.create_task(client.register(Followup=url))
    await asyncio.sleep(0.1)
    assert not held.done()
    login_id = url.rpartition("/")[2]
    await server.call("POST", "/api/v1/auth/register", json={"user": "alice", "authId": login_id})
    async with asyncio.timeout(5):
        assert (await held)["Login"]["LoginName"] == "alice"
    await client.close()


async def test_user_and_login_are_filled_on_every_success(server: Running) -> None:
    """Pitfall: a client saves its profile only once it knows a LoginName, also on a plain restart."""
    client = FakeTailscaled(server.url)
    await client.connect()
    key = await server.auth_key()
    for answer in (await client.register(key), await client.register()):
        assert answer["User"]["ID"] == 1
        assert answer["Login"]["LoginName"] == "alice"
        assert not answer["AuthURL"]
    await client.close()


async def test_two_hundred_at_once(server: Running) -> None:
    key = await server.auth_key(reusable=True)
    clients = [FakeTailscaled(server.url, hostname="same") for _ in range(200)]

    async def join(client: FakeTailscaled) -> str:
        await client.connect()
        answer = await client.register(key)
        assert answer["MachineAuthorized"], answer
        return str((await client.one_shot_map())["Node"]["Name"])

    names = await asyncio.gather(*(join(client) for client in clients))
    assert len(set(names)) == 200
    for client in clients:
        await client.close()


async def test_after_too_many_failures_the_client_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with running_server(tmp_path, more="rate_limits: {machine_burst: 2}") as server:
        client, other = FakeTailscaled(server.url), FakeTailscaled(server.url)
        for _ in range(2):
            assert "malformed" in (await client.register("hskey-auth-wrong"))["Error"]
        body = {"Version": 142, "NodeKey": client.node_key, "Auth": {"AuthKey": "hskey-auth-wrong"}}
        status, headers, text = await client.request("POST", "/machine/register", json.dumps(body).encode())
        assert (status, b"this machine" in text) == (429, True)
        assert 1 <= int(headers["retry-after"]) <= 3600
        assert (await other.register(await server.auth_key()))["MachineAuthorized"]
        for each in (client, other):
            await each.close()
