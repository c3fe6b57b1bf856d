"""Who may bring devices with an ID token, and that alerts arrive."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from coordinator.wireguard.wire import Noticed
from coordinator.wireguard_edge import alert_sinks
from tests.support.fake_gateway import FakeGateway
from tests.support.lying_provider import CLIENT_ID, lying_provider
from tests.support.server_in_process import Running, free_port, running_server
from tests.support.wireguard_bench import ENV
from tests.support.wireguard_records import public_key

POLICY = """{"acls": [], "access": {"profiles": {
  "db": {"src": ["autogroup:member"], "dst": ["10.1.2.3:5432"], "proto": "tcp"}}}}"""
BASE = "/api/v1/wireguard"


async def new_gateway(server: Running) -> FakeGateway:
    body = {"name": "gw", "host": "vpn.example.com", "pools": ["10.90.0.0/24"]}
    made: Any = await server.call("POST", f"{BASE}/gateways", json=body)
    gateway = FakeGateway(server.url, made["token"])
    await gateway.start()
    return gateway


async def test_an_id_token_brings_a_device(tmp_path: Path) -> None:
    async with lying_provider() as liar:
        more = f"oidc:\n  issuer: {liar.issuer}\n  client_id: {CLIENT_ID}\n  client_secret: s\n"
        async with running_server(tmp_path, POLICY, more) as server:
            await new_gateway(server)
            body = {"publicKey": public_key(1), "profile": "db"}
            token = liar.sign(email="ada@example.com", email_verified=True, nonce=None)
            for text, status in ((token[:-9] + "A" * 9, 401), (token, 201), (token, 200)):
                headers = {"Authorization": f"Bearer {text}"}
                async with (
                    aiohttp.ClientSession() as session,
                    session.post(f"{server.url}{BASE}/peers", json=body, headers=headers) as response,
                ):
                    assert response.status == status, await response.text()
            listed: Any = await server.call("GET", f"{BASE}/peers")
            assert listed["peers"][0]["user"] == "ada@example.com"
            assert listed["peers"][0]["created_by"] == "user:ada@example.com"


async def test_alerts_arrive_and_nothing_else(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    broken = [True]

    async def take(request: web.Request) -> web.Response:
        if broken.pop() if broken else False:
            return web.Response(status=503)
        lines.extend(json.loads(line) for line in (await request.text()).splitlines())
        return web.Response()

    app = web.Application()
    app.router.add_post("/alerts", take)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    more = f"wireguard: {{alerts_url: 'http://127.0.0.1:{port}/alerts'}}\n"
    async with running_server(tmp_path, POLICY, more) as server:
        gateway = await new_gateway(server)
        event = Noticed(kind="unknown-peer", at=datetime.now(UTC), detail="removed", public_key=public_key(7))
        assert await gateway.report(events=[event]) == 204
        async with asyncio.timeout(8):
            while not lines:
                await asyncio.sleep(0.05)
    assert [line["action"] for line in lines] == ["wireguard.alert"]
    assert lines[0]["after"]["kind"] == "unknown-peer"
    await runner.cleanup()


def test_no_place_for_alerts() -> None:
    from coordinator.settings.load import load_settings

    assert alert_sinks(load_settings(None, ENV)[0].wireguard) == []
