"""A whole server in this process: real store, real sockets, real clients of the protocol's own making."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from coordinator.server import Server
from coordinator.settings.load import load_settings
from tests.support.ports import free_port


@dataclass
class Running:
    """A server and how to reach it."""

    server: Server
    url: str
    socket_path: Path
    config: Path

    @asynccontextmanager
    async def api(self) -> AsyncIterator[aiohttp.ClientSession]:
        """The API behind the unix socket."""
        connector = aiohttp.UnixConnector(str(self.socket_path))
        async with aiohttp.ClientSession("http://localhost", connector=connector) as session:
            yield session

    async def call(self, method: str, path: str, **arguments: object) -> dict[str, object]:
        """One API call that has to succeed."""
        async with self.api() as session, session.request(method, path, **arguments) as response:  # type: ignore[arg-type]
            document = await response.json(content_type=None)
            assert response.status == 200, document
            return dict(document)

    async def auth_key(self, user: str = "alice", **fields: object) -> str:
        """A pre-auth key of a user who is created when missing."""
        users = await self.call("GET", f"/api/v1/user?name={user}")
        if not users["users"]:
            await self.call("POST", "/api/v1/user", json={"name": user})
        answer = await self.call("POST", "/api/v1/preauthkey", json={"user": user, **fields})
        return str(answer["preAuthKey"]["key"])  # type: ignore[index]


@asynccontextmanager
async def running_server(
    directory: Path, policy: str | None = None, more: str = "", *, port: int | None = None
) -> AsyncIterator[Running]:
    """Start a server on loopback; `more` is appended to its configuration."""
    port = port or free_port()
    config = directory / "config.yaml"
    if policy is not None:
        (directory / "acls.hujson").write_text(policy)
    config.write_text(
        f"""\
server_url: http://127.0.0.1:{port}
listen_addr: 127.0.0.1:{port}
derp:
  server:
    enabled: true
    stun_listen_addr: 127.0.0.1:{free_port(kind=socket.SOCK_DGRAM)}
    tls_listen_addr: 127.0.0.1:{free_port()}
dns: {{base_domain: tail.lab, override_local_dns: false}}
unix_socket: s.sock
{"policy: {path: acls.hujson}" if policy is not None else ""}
{more}
"""
    )
    settings, _ = load_settings(config, {})
    server = Server(settings)
    async with AsyncExitStack() as stack:
        await server.start(stack)
        yield Running(server, settings.server_url, settings.unix_socket, config)
    for sock in server.sockets.values():
        sock.close()
    await asyncio.sleep(0)
