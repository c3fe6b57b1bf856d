"""Owners and addresses of nodes, and what open map streams hear of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running, running_server
from tests.support.tailnets import ClientModel

WITHIN = 1.0
"""Seconds in which every client has to know."""
ADMINS = """{"tagOwners": {"tag:ci": []},
  "acls": [{"action": "accept", "src": ["autogroup:admin"], "dst": ["*:*"]},
           {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"]}],
  "nodeAttrs": [{"target": ["autogroup:admin"], "attr": ["disable-ipv4"]}]}"""


class Watcher:
    """A joined client that reads its map stream."""

    def __init__(self, client: FakeTailscaled) -> None:
        self.client = client
        self.model = ClientModel()
        self.changed = asyncio.Event()
        self.messages = 0

    async def read(self) -> None:
        async with self.client.map_stream() as maps:
            async for document in maps:
                if not document.get("KeepAlive"):
                    self.model.apply(document)
                self.messages += 1
                self.changed.set()

    async def until(self, holds: Callable[[ClientModel], bool]) -> None:
        async with asyncio.timeout(WITHIN):
            while self.model.self_node is None or not holds(self.model):
                self.changed.clear()
                await self.changed.wait()

    def peer(self, name: str) -> dict[str, Any]:
        return next(peer for peer in self.model.peers.values() if peer["Name"].startswith(f"{name}."))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_server(
        tmp_path, '{"tagOwners": {"tag:ci": []}, "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]}'
    ) as running:
        yield running


async def join(stack: AsyncExitStack, server: Running, name: str, user: str) -> Watcher:
    client = FakeTailscaled(server.url, hostname=name)
    assert (await client.register(await server.auth_key(user)))["MachineAuthorized"]
    await client.lite_update()
    stack.push_async_callback(client.close)
    watcher = Watcher(client)
    task = asyncio.create_task(watcher.read())
    stack.callback(task.cancel)
    await watcher.until(lambda model: True)
    return watcher


async def test_a_moved_node_is_shown_under_its_new_user_at_once(server: Running) -> None:
    async with AsyncExitStack() as stack:
        web = await join(stack, server, "web", "alice")
        other = await join(stack, server, "other", "bob")
        answer = await server.call("POST", "/api/v1/node/1/user", json={"user": "bob"})
        assert answer["node"]["user"]["name"] == "bob"  # type: ignore[index]
        await web.until(lambda model: model.self_node["User"] == 2)  # type: ignore[index]
        await other.until(lambda model: other.peer("web")["User"] == 2)
        assert web.model.profiles[2]["LoginName"] == "bob"
        await server.call("POST", "/api/v1/node/1/user?user=alice")
        await other.until(lambda model: other.peer("web")["User"] == 1)
        assert web.client.polls == 1, "nobody had to connect anew"


async def test_tags_come_and_go_on_open_streams(server: Running) -> None:
    async with AsyncExitStack() as stack:
        web = await join(stack, server, "web", "alice")
        other = await join(stack, server, "other", "bob")
        await server.call("POST", "/api/v1/node/1/tags", json={"tags": ["tag:ci"]})
        await web.until(lambda model: model.self_node.get("Tags") == ["tag:ci"])  # type: ignore[union-attr]
        await server.call("POST", "/api/v1/node/1/untag", json={"user": "bob"})
        await web.until(lambda model: "Tags" not in model.self_node)  # type: ignore[operator]
        await other.until(lambda model: other.peer("web")["User"] == 2)


async def test_a_new_address_is_in_every_map_at_once(server: Running) -> None:
    async with AsyncExitStack() as stack:
        web = await join(stack, server, "web", "alice")
        other = await join(stack, server, "other", "bob")
        await server.call("POST", "/api/v1/node/1/addresses", json={"addresses": ["100.64.7.7"]})
        expected = ["100.64.7.7/32", "fd7a:115c:a1e0::1/128"]
        await web.until(lambda model: model.self_node["Addresses"] == expected)  # type: ignore[index]
        await other.until(lambda model: other.peer("web").get("Addresses") == expected)
        answer = await server.call("GET", "/api/v1/node/1")
        assert answer["node"]["ipAddresses"] == ["100.64.7.7", "fd7a:115c:a1e0::1"]  # type: ignore[index]


async def test_a_suspended_user_s_nodes_expire_on_their_streams(server: Running) -> None:
    async with AsyncExitStack() as stack:
        web = await join(stack, server, "web", "alice")
        other = await join(stack, server, "other", "bob")
        await server.call("POST", "/api/v1/user/1/suspend")
        await web.until(lambda model: bool(model.self_node.get("Expired")) and not model.peers)  # type: ignore[union-attr]
        await other.until(lambda model: bool(other.peer("web").get("Expired")))
        assert (await web.client.register())["NodeKeyExpired"]
        await server.call("POST", "/api/v1/user/1/restore")
        await server.call("POST", "/api/v1/node/1/extend", json={"for": "30d"})
        await web.until(lambda model: "Expired" not in model.self_node and bool(model.peers))  # type: ignore[operator]


async def test_a_role_opens_and_closes_what_the_policy_gives_it(tmp_path: Path) -> None:
    async with running_server(tmp_path, ADMINS) as server, AsyncExitStack() as stack:
        web = await join(stack, server, "web", "alice")
        other = await join(stack, server, "other", "bob")
        assert not web.model.peers
        await server.call("POST", "/api/v1/user/1/role", json={"role": "admin"})
        await web.until(lambda model: len(model.peers) == 1 and len(model.self_node["Addresses"]) == 1)  # type: ignore[index]
        assert "https://tailscale.com/cap/is-admin" in web.model.self_node["CapMap"]  # type: ignore[index]
        await other.until(lambda model: bool(model.filters) and bool(model.peers))
        assert other.peer("web")["Addresses"] == ["fd7a:115c:a1e0::1/128"]
        await server.call("POST", "/api/v1/user/1/role", json={"role": "member"})
        await web.until(lambda model: not model.peers and len(model.self_node["Addresses"]) == 2)  # type: ignore[index]
        await other.until(lambda model: not model.peers)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("9/user", {"user": "alice"}, 404),
        ("1/user", {"user": "nobody"}, 404),
        ("1/user", None, 400),
        ("1/untag", {"user": "alice"}, 400),
        ("9/untag", {"user": "alice"}, 404),
        ("1/addresses", {"addresses": ["10.0.0.1"]}, 400),
        ("1/addresses", {"addresses": "100.64.0.9"}, 400),
        ("1/addresses", {}, 400),
        ("2/addresses", {"addresses": ["100.64.0.1"]}, 409),
        ("9/addresses", {"addresses": ["100.64.0.9"]}, 404),
    ],
)
async def test_mistakes(server: Running, path: str, body: object, status: int) -> None:
    clients = [FakeTailscaled(server.url, hostname=name) for name in ("one", "two")]
    for client in clients:
        await client.register(await server.auth_key())
        await client.close()
    async with server.api() as api, api.post(f"/api/v1/node/{path}", json=body) as response:
        assert response.status == status
        assert (await response.json(content_type=None))["message"]
