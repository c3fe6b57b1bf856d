"""/api/v1/auth: what waits for a person."""

from __future__ import annotations

import asyncio

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running


async def post(server: Running, path: str, auth_id: str) -> tuple[int, str]:
    async with server.api() as session, session.post(path, json={"authId": auth_id}) as response:
        return response.status, await response.text()


async def test_a_machine_is_refused_and_told(server: Running) -> None:
    client = FakeTailscaled(server.url)
    await client.connect()
    url = (await client.register())["AuthURL"]
    held = asyncio.create_task(client.register(Followup=url))
    await asyncio.sleep(0.1)
    status, text = await post(server, "/api/v1/auth/approve", url.rpartition("/")[2])
    assert status == 400
    assert "auth register --user" in text
    assert (await post(server, "/api/v1/auth/reject", url.rpartition("/")[2]))[0] == 200
    assert "refused this machine" in (await held)["Error"]
    # Asking again is a new request, with a new link.
    assert (await client.register())["AuthURL"] not in ("", url)
    await client.close()


async def test_unknown_ids(server: Running) -> None:
    for verb in ("approve", "reject"):
        assert (await post(server, f"/api/v1/auth/{verb}", "hskey-authreq-none"))[0] == 404
