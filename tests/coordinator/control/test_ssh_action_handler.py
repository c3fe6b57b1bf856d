"""SSH check mode over the real transport, with its page and its API."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import running_server

POLICY = """{
  "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
  "ssh": [{"action": "check", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root"]}]
}"""


async def test_the_destination_asks_and_a_person_decides(tmp_path: Path) -> None:
    async with running_server(tmp_path, POLICY) as server:
        key = await server.auth_key(reusable=True)
        source, destination = FakeTailscaled(server.url), FakeTailscaled(server.url, hostname="box")
        for client in (source, destination):
            await client.connect()
            await client.register(key)
        told = (await destination.one_shot_map())["SSHPolicy"]["rules"][0]["action"]
        path = told["holdAndDelegate"].removeprefix("https://unused")
        for name, value in {
            "$SRC_NODE_ID": "1", "$DST_NODE_ID": "2", "$SSH_USER": "root", "$LOCAL_USER": "root"
        }.items():  # fmt: skip
            path = path.replace(name, value)
        status, _, body = await source.request("GET", path)
        assert (status, json.loads(body)["reject"]) == (200, True), "not the destination"

        status, _, body = await destination.request("GET", path)
        action = json.loads(body)
        (url,) = [word for word in action["message"].split() if word.startswith("http")]
        async with aiohttp.ClientSession() as browser, browser.get(url) as answer:
            page = await answer.text()
        check_id = url.rpartition("/")[2]
        assert f"coordinator auth approve --auth-id {check_id}" in page
        assert "root@box" in page
        held = asyncio.create_task(destination.request("GET", f"{path}&auth_id={check_id}"))
        await asyncio.sleep(0.1)
        assert not held.done()
        assert await server.call("POST", "/api/v1/auth/approve", json={"authId": check_id}) == {}
        status, _, body = await held
        assert json.loads(body)["accept"] is True
        status, _, body = await destination.request("GET", "/machine/ssh/action/elsewhere")
        assert status == 404
        for client in (source, destination):
            await client.close()
