"""One key, one use, over both worlds: nodes of the tailnet and plain WireGuard, in every order and at once.

Stock clients make their own keys, so only a client of our own can come with somebody else's.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from coordinator.wireguard.wire import REPORT_PATH
from tests.support.fake_tailscaled import FakeTailscaled, private_key, public_key
from tests.support.server_in_process import Running, running_server

IN_USE = "in use elsewhere"
HAS_ONE_USE = "a key has one use"


def wireguard_text(private: bytes) -> str:
    """The public half, as `wg` prints it."""
    return base64.b64encode(public_key(private)).decode()


class World:
    """One server with a gateway whose key is known, and a pre-auth key for whoever joins."""

    def __init__(self, server: Running, auth_key: str) -> None:
        self.server = server
        self.auth_key = auth_key
        self.gateway_private = private_key()
        self._clients: list[FakeTailscaled] = []

    async def gateway(self) -> None:
        made = await self.server.call(
            "POST",
            "/api/v1/wireguard/gateways",
            json={"name": "gw", "host": "vpn.example.com", "pools": ["10.90.0.0/24"]},
        )
        assert await self.report(str(made["token"]), {"key-1": wireguard_text(self.gateway_private)}) == 204

    async def report(self, token: str, keys: dict[str, str]) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        body = {"version": "", "now": "2026-01-01T00:00:00Z", "publicKeys": keys}
        async with (
            aiohttp.ClientSession(self.server.url, headers=headers) as session,
            session.post(REPORT_PATH, json=body) as answer,
        ):
            return answer.status

    async def peer(self, private: bytes) -> tuple[int, dict[str, Any]]:
        body = {"publicKey": wireguard_text(private), "service": "s", "permanent": True, "reason": "r"}
        async with (
            self.server.api() as session,
            session.post("/api/v1/wireguard/peers", json=body) as answer,
        ):
            return answer.status, await answer.json(content_type=None)

    async def revoke(self, name: str) -> None:
        await self.server.call("DELETE", f"/api/v1/wireguard/peers/{name}")

    def client(self, name: str, node: bytes | None = None, machine: bytes | None = None) -> FakeTailscaled:
        client = FakeTailscaled(self.server.url, hostname=name)
        client.node_private = node or client.node_private
        client.machine_private = machine or client.machine_private
        self._clients.append(client)
        return client

    async def join(self, client: FakeTailscaled, **more: Any) -> str:
        """The error of the answer; empty for a node that is in."""
        answer = await client.register(self.auth_key, **more)
        assert not answer.get("AuthURL")
        return str(answer.get("Error", ""))

    async def nodes(self) -> int:
        return len((await self.server.call("GET", "/api/v1/node"))["nodes"])  # type: ignore[arg-type]

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    more = "wireguard: {address_rest: 0}"
    async with running_server(tmp_path, '{"acls": []}', more) as server:
        made = World(server, await server.auth_key(reusable=True))
        await made.gateway()
        yield made
        await made.close()


async def test_a_node_does_not_get_the_key_of_a_peer_or_gateway(world: World) -> None:
    key = private_key()
    status, made = await world.peer(key)
    assert status == 201
    for client in (
        world.client("a", node=key),
        world.client("b", node=world.gateway_private),
        world.client("c", machine=key),
    ):
        assert HAS_ONE_USE in await world.join(client)
    assert await world.nodes() == 0
    # A key that has ended is free again.
    await world.revoke(made["peer"]["name"])
    assert await world.join(world.client("d", node=key)) == ""
    status, refusal = await world.peer(key)
    assert (status, IN_USE in str(refusal)) == (409, True)


async def test_a_one_time_key_is_not_spent_by_the_refusal(world: World) -> None:
    key = private_key()
    await world.peer(key)
    world.auth_key = await world.server.auth_key()
    client = world.client("a", node=key)
    assert HAS_ONE_USE in await world.join(client)
    client.node_private = private_key()
    assert await world.join(client) == ""


async def test_a_node_does_not_change_to_the_key_of_a_peer(world: World) -> None:
    client, key = world.client("a"), private_key()
    assert await world.join(client) == ""
    await world.peer(key)
    former, client.node_private = client.node_key, key
    assert HAS_ONE_USE in await world.join(client, OldNodeKey=former)
    # Without an auth key a person is asked first, and refused.
    answer = await client.register(OldNodeKey=former)
    login = answer["AuthURL"].rpartition("/")[2]
    async with world.server.api() as session:
        asked = {"authId": login, "user": "alice"}
        async with session.post("/api/v1/auth/register", json=asked) as refused:
            assert (refused.status, HAS_ONE_USE in await refused.text()) == (409, True)
    assert await world.nodes() == 1


async def test_an_awaited_new_key_may_not_be_that_of_a_peer(world: World) -> None:
    client, key = world.client("a"), private_key()
    assert await world.join(client) == ""
    await world.peer(key)
    await world.server.call("POST", "/api/v1/node/rotate", json={"ids": ["1"]})
    assert (await client.register())["NodeKeyExpired"]
    former, own = client.node_key, client.node_private
    client.node_private = key
    assert HAS_ONE_USE in (await client.register(OldNodeKey=former))["Error"]
    # The right way is open as before.
    client.node_private = private_key()
    assert not (await client.register(OldNodeKey=former)).get("Error")
    assert own != client.node_private


async def test_peers_and_gateways_do_not_get_a_key_of_the_tailnet(world: World) -> None:
    client = world.client("a")
    assert await world.join(client) == ""
    for key in (client.node_private, client.machine_private, world.gateway_private):
        status, refusal = await world.peer(key)
        assert (status, IN_USE in str(refusal)) == (409, True)
    made = await world.server.call(
        "POST",
        "/api/v1/wireguard/gateways",
        json={"name": "gw2", "host": "h", "pools": ["10.91.0.0/24"]},
    )
    for key in (client.node_private, client.machine_private, world.gateway_private):
        assert await world.report(str(made["token"]), {"key-1": wireguard_text(key)}) == 409


async def test_of_both_at_once_one_gets_it(world: World) -> None:
    for number in range(10):
        key = private_key()
        client = world.client(f"n{number}", node=key)
        await client.connect()
        both = [world.join(client), world.peer(key)]
        joined, provisioned = await asyncio.gather(*(both if number % 2 else reversed(both)))
        if isinstance(joined, tuple):
            joined, provisioned = provisioned, joined  # type: ignore[assignment]
        assert (joined == "") != (provisioned[0] == 201)
