"""What gateways ask: wish by long poll, reports, and what wrong tokens meet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from coordinator.wireguard.wire import REPORT_PATH, WISH_PATH
from tests.support.fake_gateway import FakeGateway
from tests.support.server_in_process import Running, running_server
from tests.support.wireguard_records import public_key

BASE = "/api/v1/wireguard"
POLICY = """{
  "acls": [],
  "access": {"profiles": {
    "db": {"src": ["autogroup:member"], "dst": ["10.1.2.3:5432"], "proto": "tcp", "maxDuration": "8h"},
    "prod": {"src": ["autogroup:member"], "dst": ["10.20.0.0/16:*"], "approvers": ["bob@"],
             "reason": "required", "maxDuration": "8h"},
  }},
}"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_server(tmp_path, POLICY) as running:
        for name in ("ada", "bob"):
            await running.call("POST", "/api/v1/user", json={"name": name})
        yield running


async def new_gateway(server: Running, name: str = "gw", network: str = "10.90.0.0/24") -> FakeGateway:
    body = {"name": name, "host": "vpn.example.com", "pools": [network]}
    answer = await server.call("POST", f"{BASE}/gateways", json=body)
    gateway = FakeGateway(server.url, str(answer["token"]), name)
    await gateway.start()
    return gateway


async def new_peer(server: Running, number: int, **more: Any) -> dict[str, Any]:
    body = {"publicKey": public_key(number), "service": "lab", "permanent": True, "reason": "test", **more}
    async with server.api() as session, session.post(f"{BASE}/peers", json=body) as response:
        document = await response.json()
        assert response.status in (200, 201), document
        return dict(document)


async def test_a_peer_is_told_within_milliseconds_and_gone_as_fast(server: Running) -> None:
    gateway = await new_gateway(server)
    assert await gateway.ask() == 204
    waiting = asyncio.create_task(gateway.ask(20))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    peer = await new_peer(server, 1)
    assert await waiting == 200
    assert time.monotonic() - began < 0.3
    assert gateway.keys == [public_key(1)]
    assert gateway.wish is not None
    assert gateway.wish.peers[0].allowed_ips == ("10.90.0.2/32",)
    waiting = asyncio.create_task(gateway.ask(20))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    await server.call("DELETE", f"{BASE}/peers/{peer['peer']['id']}")
    assert await waiting == 200
    assert time.monotonic() - began < 0.3
    assert gateway.keys == []


async def test_a_window_opens_the_peer_and_its_end_is_in_the_wish(server: Running) -> None:
    gateway = await new_gateway(server)
    body = {"publicKey": public_key(7), "user": "ada", "profile": "prod", "reason": "INC-1", "for": "1h"}
    async with server.api() as session, session.post(f"{BASE}/peers", json=body) as response:
        made = await response.json()
        assert response.status == 201, made
    assert made["peer"]["state"] == "waiting"
    assert await gateway.ask() == 204
    (request,) = (await server.call("GET", "/api/v1/access/requests"))["requests"]  # type: ignore[misc]
    waiting = asyncio.create_task(gateway.ask(20))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    approve = f"/api/v1/access/requests/{request['id']}/approve"
    await server.call("POST", approve, json={"as": "bob"})
    assert await waiting == 200
    assert time.monotonic() - began < 0.5
    assert gateway.wish is not None
    (peer,) = gateway.wish.peers
    assert peer.not_after is not None
    assert (peer.not_after - peer.not_before).total_seconds() == 3600
    assert peer.rules[0].networks == ("10.20.0.0/16",)
    waiting = asyncio.create_task(gateway.ask(20))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    await server.call("POST", f"/api/v1/access/requests/{request['id']}/revoke", json={})
    assert await waiting == 200
    assert time.monotonic() - began < 0.5
    assert gateway.keys == []


NAIVE = b'{"version": "", "now": "2026-01-01T00:00:00", "publicKeys": {}}'


async def test_wrong_tokens_and_questions(server: Running) -> None:
    gateway = await new_gateway(server)
    for text in ("", "x", "wggateway-" + "0" * 12 + "-" + "0" * 64, "wgenrol-" + "0" * 12 + "-" + "0" * 64):
        wrong = FakeGateway(server.url, text)
        assert await wrong.ask() == 401
        assert await wrong.report() == 401
    async with aiohttp.ClientSession(headers=gateway._headers) as session:
        for wait in ("x", "-1", "nan", "inf"):
            async with session.get(f"{server.url}{WISH_PATH}?wait={wait}") as response:
                assert response.status == 400
        for body in (b"", b"[]", b"{", b'{"version": 1}', NAIVE):
            async with session.post(server.url + REPORT_PATH, data=body) as response:
                assert response.status == 400
    answer = await server.call("POST", f"{BASE}/gateways/gw/rotate-token", json={})
    assert await gateway.ask() == 401
    assert await FakeGateway(server.url, str(answer["token"])).ask() == 200


async def test_a_token_taken_back_while_the_gateway_waits(server: Running) -> None:
    gateway = await new_gateway(server)
    waiting = asyncio.create_task(gateway.ask(20))
    await asyncio.sleep(0.05)
    await server.call("POST", f"{BASE}/gateways/gw/rotate-token", json={})
    await new_peer(server, 1)
    assert await waiting == 401
    assert gateway.keys == []


async def test_floods_of_wrong_tokens_do_no_harm(server: Running) -> None:
    gateway = await new_gateway(server)
    answers: list[int] = []

    async def flood() -> None:
        async with aiohttp.ClientSession() as session:
            for number in range(500):
                token = f"wggateway-{number:012}-{'0' * 64}"
                headers = {"Authorization": f"Bearer {token}"}
                async with session.get(server.url + WISH_PATH, headers=headers) as response:
                    answers.append(response.status)

    flooding = asyncio.create_task(flood())
    slowest = 0.0
    for number in range(1, 6):
        began = time.monotonic()
        waiting = asyncio.create_task(gateway.ask(20))
        await new_peer(server, number)
        assert await waiting == 200
        slowest = max(slowest, time.monotonic() - began)
    await flooding
    assert set(answers) == {401, 429}
    assert slowest < 1
    assert len(gateway.keys) == 5
    assert await gateway.report() == 204


async def test_a_waiting_gateway_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with running_server(tmp_path, POLICY) as server:
        gateway = await new_gateway(server)
        waiting = asyncio.create_task(gateway.ask(30))
        await asyncio.sleep(0.1)
        began = time.monotonic()
    assert time.monotonic() - began < 2.5
    assert await waiting == 204


async def test_another_program_with_the_same_token_is_noticed(server: Running) -> None:
    gateway = await new_gateway(server)
    assert await gateway.report() == 204
    assert await gateway.report(public_keys={"key-1": public_key("another disk")}) == 204
    found: Any = await server.call("GET", "/api/v1/audit?action=wireguard.alert")
    (entry,) = found["entries"]
    assert entry["after"]["kind"] == "gateway-key-changed"
    assert public_key("gw key-1") in entry["after"]["detail"]
    assert entry["after"]["public_key"] == public_key("another disk")
