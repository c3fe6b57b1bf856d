"""The fake client against a hand-made server: it must send and read what stock clients do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from coordinator.control.h2_server import ControlServer, Request, ResponseStream
from coordinator.tailcfg.framing import compress, frame
from tests.coordinator.control.running import SERVER_KEY, SERVER_PUBLIC
from tests.support.fake_tailscaled import FakeTailscaled, take_messages


class Server:
    """Remembers requests; answers register with a user and map with two messages."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.streams: list[ResponseStream] = []

    async def __call__(self, request: Request, response: ResponseStream) -> None:
        document = json.loads(await request.body())
        self.seen.append(document)
        await response.send_head(200 if document["NodeKey"] else 400, {})
        if request.path == "/machine/register":
            await response.send(b'{"MachineAuthorized":true}')
        elif document.get("Stream"):
            response.detach()
            self.streams.append(response)
            # Two frames that only together are a document, as the server joins shared fragments.
            response.try_push(frame((compress(b'{"Node":{"ID":1},'), compress(b'"Peers":[]}'))))
            return
        elif not document.get("OmitPeers"):
            await response.send(frame((compress(b'{"Node":{"ID":2}}'),)))
        await response.finish()


@asynccontextmanager
async def client_of(handler: Server) -> AsyncIterator[FakeTailscaled]:
    control = ControlServer(SERVER_KEY, handler)
    app = web.Application()

    async def key(request: web.Request) -> web.Response:
        return web.json_response({"publicKey": "mkey:" + SERVER_PUBLIC.hex()})

    app.add_routes([web.get("/key", key), *control.routes()])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = FakeTailscaled(f"http://127.0.0.1:{runner.addresses[0][1]}", hostname="alpha")
    try:
        yield client
    finally:
        await client.close()
        await control.close(1)
        await runner.cleanup()


async def test_registers_with_its_keys() -> None:
    server = Server()
    async with client_of(server) as client:
        assert await client.register("tskey-auth-1", Ephemeral=True) == {"MachineAuthorized": True}
        assert client.server_key == SERVER_PUBLIC
    (document,) = server.seen
    assert document["NodeKey"] == client.node_key
    assert document["Auth"] == {"AuthKey": "tskey-auth-1"}
    assert document["Hostinfo"]["Hostname"] == "alpha" and document["Ephemeral"] is True


async def test_the_three_modes_of_a_map_request() -> None:
    server = Server()
    async with client_of(server) as client:
        assert await client.lite_update(Endpoints=["192.0.2.1:41641"]) == 200
        assert await client.one_shot_map() == {"Node": {"ID": 2}}
        async with client.map_stream() as maps:
            assert await anext(maps) == {"Node": {"ID": 1}, "Peers": []}
            server.streams[0].try_push(frame((compress(b'{"PeersRemoved":[7]}'),)))
            assert await anext(maps) == {"PeersRemoved": [7]}
    assert [(d.get("Stream"), d.get("OmitPeers")) for d in server.seen] == [
        (False, True),
        (False, None),
        (True, None),
    ]


async def test_an_ended_poll_ends_the_iteration_or_raises() -> None:
    server = Server()
    async with client_of(server) as client, client.map_stream() as maps:
        await anext(maps)
        await server.streams[0].finish()
        with pytest.raises(StopAsyncIteration):
            await anext(maps)


def test_incomplete_messages_stay_in_the_buffer() -> None:
    whole = frame((compress(b'{"KeepAlive":true}'),))
    buffer = bytearray(whole + whole[:-1])
    assert take_messages(buffer) == [{"KeepAlive": True}]
    assert bytes(buffer) == whole[:-1]
    buffer += whole[-1:]
    assert take_messages(buffer) == [{"KeepAlive": True}]
    assert not buffer
